"""How far `llmrl plan` is from what runs then took, and the figures that plans are made from.

    python benchmarks/plan.py compare RUN [--profile FILE] [--jobs 2] [--only NAMES] [--note TEXT] [--out FILE]
    python benchmarks/plan.py record-training
    python benchmarks/plan.py record-run RUN

`compare` plans a finished run anew at recorded speeds, as if nothing of it were there, and sets beside it what it took: calls
and tokens of its stores, seconds of its manifests, steps of its figures, bytes of its files, and, for a run that was made in
one go, seconds from its start (its lock) to its last notebook, and to its book where that was built at once.
`record-training` measures, on one thread and in processor time, steps of networks of several sizes, evaluations, copies,
FLAG-Trader and PPO on the embedded market; `record-run` reads what Nano's batches took from the stores of a run, and
notebooks from the times of their files, in a run with two processes. Both print figures of
`llmrl_lib/experiments/planning/speeds.toml`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from llmrl_lib.experiments import Run, open_run
from llmrl_lib.experiments.adviser import Adviser
from llmrl_lib.experiments.flag_arms import flag_settings
from llmrl_lib.experiments.planning import Plan, Stage, Study, load_speeds, plan_study
from llmrl_lib.experiments.planning.calibration import EPSILON
from llmrl_lib.experiments.planning.training import Rows, kind_of, trained_seconds
from llmrl_lib.experiments.suite import TICKER_NOTEBOOKS
from llmrl_lib.language.store import open_store
from llmrl_lib.market.dataset import load_dataset
from llmrl_lib.settings import FlagTraderSettings, Profile, TdqnSettings, load_profile
from llmrl_lib.trading.flag_trader.activations import activations, tokenised
from llmrl_lib.trading.flag_trader.backbone import Backbone
from llmrl_lib.trading.flag_trader.learner import Group as FlagGroup
from llmrl_lib.trading.flag_trader.numbers import train_on_numbers
from llmrl_lib.trading.flag_trader.policy import CachedPolicy
from llmrl_lib.trading.flag_trader.training import FlagProblem, laid_out
from llmrl_lib.trading.learner import Group
from llmrl_lib.trading.problem import Problem, prepare

ROOT = Path(__file__).resolve().parent.parent
EMBEDDED = ROOT / "data" / "embedded"
NETWORKS = ((32, 4, 32), (128, 4, 32), (256, 4, 32), (512, 2, 32), (512, 4, 32), (512, 4, 64))  # hidden, layers, batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    comparing = verbs.add_parser("compare")
    comparing.add_argument("run", type=Path)
    comparing.add_argument("--profile", default="", help="file of the run's profile, where it is none of the package's")
    comparing.add_argument("--jobs", type=int, default=2)
    comparing.add_argument(
        "--only", default="", help="beginnings of figures, where parts of the run are not there any more"
    )
    comparing.add_argument("--note", default="", help="how the run was made")
    comparing.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "plan.json")
    verbs.add_parser("record-training")
    recording = verbs.add_parser("record-run")
    recording.add_argument("run", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.verb == "compare":
        found = compare(open_run(given.run), given.profile, given.jobs, tuple(given.only.split(","))) | {
            "note": given.note
        }
        report = json.loads(given.out.read_text("utf-8")) if given.out.is_file() else {}
        report[given.run.name] = found
        given.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    elif given.verb == "record-training":
        found = {**networks(), **flag_trader(), **numbers()}
    else:
        found = {**nano_batches(open_run(given.run)), **notebooks(given.run)}
    print(json.dumps(found, indent=1))


# Comparing


def compare(run: Run, profile: str, jobs: int, only: tuple[str, ...]) -> dict[str, Any]:
    """Planned, taken and planned / taken - 1 of everything that the run's folder tells."""
    chosen = load_profile(profile or run.profile)
    chosen = replace(chosen, arms=tuple(arm for arm in chosen.arms if arm in run.arms(run.tickers[0])))
    study = Study(run.dataset_path, run.tickers, chosen, jobs, Adviser())
    plan, made = plan_study(study), taken(run)
    planned = expected(plan, run, chosen, made)
    rows = {
        name: {"planned": round(planned[name], 1), "taken": round(value, 1), "off": round(planned[name] / value - 1, 3)}
        for name, value in made.items()
        if value and name in planned and name.startswith(only)
    }
    return {
        "tickers": len(run.tickers),
        "dataset": run.dataset.name,
        "profile": chosen.name,
        "in_sample": load_speeds().recorded_on(run.dataset.name, chosen.name),
        "processes": jobs,
        "commit": subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip(),
        "worst": max((abs(row["off"]) for row in rows.values()), default=0.0),
        "figures": rows,
    }


def taken(run: Run) -> dict[str, float]:
    """What a finished run took, as far as its folder tells."""
    found: dict[str, float] = defaultdict(float)
    for ticker in run.tickers:
        for name, arm in run.arms(ticker).items():
            if kind_of(name) != "rules" and arm.manifest["device"] == "cpu":
                found[f"{kind_of(name)} seconds"] += arm.manifest["seconds"]
                if (arm.folder / "metrics.csv").is_file():
                    found[f"{kind_of(name)} steps"] += sum(arm.episodes.groupby("seed")["steps"].max())
    for folder in ("strategies", "audit"):
        for paid in open_store(run.path / folder).paid:
            found[f"{folder} calls"] += 1
            found[f"{folder} prompt tokens"] += paid.usage.prompt
            found[f"{folder} completion tokens"] += paid.usage.completion
    found["arms bytes"] = sum(_size(run.path / ticker) for ticker in run.tickers)
    found["strategies bytes"] = _size(run.path / "strategies")
    found["all bytes"] = _size(run.path)
    told = [file.stat().st_mtime for file in (run.path / "notebooks").glob("**/*.ipynb")]
    if told:
        found["seconds to the last notebook"] = max(told) - (run.path / ".lock").stat().st_mtime
        if (page := run.path / "book" / "index.html").is_file():
            found["seconds to the book"] = page.stat().st_mtime - (run.path / ".lock").stat().st_mtime
    return dict(found)


def expected(plan: Plan, run: Run, profile: Profile, made: dict[str, float]) -> dict[str, float]:
    """The plan's figures by the names of `taken`."""
    speeds, found = load_speeds(), defaultdict(float)
    for ticker in run.tickers:
        rows = Rows(len(run.dataset.train_bars(ticker)), len(run.dataset.test_bars(ticker)))
        for name in run.arms(ticker):
            if kind_of(name) != "rules":
                found[f"{kind_of(name)} seconds"] += trained_seconds(name, rows, profile, speeds)
    asking = [stage for stage in plan.stages if stage.name.startswith("strategies")]
    training = [
        stage for stage in plan.stages if stage.name in ("TDQN arms", "FLAG-Trader arms", "rules and advice alone")
    ]
    for stage in training:
        if stage.steps:
            found[f"{stage.name.removesuffix(' arms')} steps"] = stage.steps
    for folder, stages in (("strategies", asking), ("audit", [_stage(plan, "notebooks of tickers")])):
        found[f"{folder} calls"] = sum(stage.calls for stage in stages)
        found[f"{folder} prompt tokens"] = sum(stage.prompt_tokens for stage in stages)
        found[f"{folder} completion tokens"] = sum(stage.completion_tokens for stage in stages)
    found["arms bytes"] = sum(stage.bytes for stage in training)
    found["strategies bytes"] = sum(stage.bytes for stage in asking)
    book = "seconds to the book" in made
    found["all bytes"] = plan.bytes - (0.0 if book else _stage(plan, "book").bytes)
    phases = {phase.name: phase.seconds for phase in plan.phases}
    found["seconds to the book"] = plan.wall_seconds
    found["seconds to the last notebook"] = plan.wall_seconds - phases["book"]
    return dict(found)


def _stage(plan: Plan, name: str) -> Stage:
    return next(stage for stage in plan.stages if stage.name == name)


def _size(folder: Path) -> float:
    return float(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()))


# Recording


def networks() -> dict[str, float]:
    """Rates of a learning step, an evaluation and a copy, fitted to networks of several sizes."""
    data = load_dataset(EMBEDDED)
    bars = data.train_bars("ORVN"), data.test_bars("ORVN")
    rows, steps, evaluations, copies = [], [], [], []
    for hidden, layers, batch in NETWORKS:
        settings = TdqnSettings(
            hidden=hidden,
            layers=layers,
            batch_size=batch,
            target_period=10**9,
            epsilon_start=EPSILON,
            epsilon_end=EPSILON,
        )
        group = Group((prepare(Problem(*bars), settings),), [0], settings)
        group._ends.clear()  # evaluations are timed by themselves
        group.advance(limit=100)
        steps.append(_median(lambda group=group: group.advance(limit=100), 5) / 100)
        copies.append(_median(group._renew_targets, 5))
        evaluations.append(_median(lambda group=group: _evaluated(group), 5))
        weights = sum(value.numel() for value in group.network.parameters.values())
        rows.append((1.0, layers, weights, weights * batch))
    fixed, layer, adam, product = _fitted(np.array(rows), np.array(steps))
    plain = np.array(rows)[:, [0, 2]]
    evaluated, copied = _fitted(plain, np.array(evaluations)), _fitted(plain, np.array(copies))
    return {
        "tdqn_fixed_ms": fixed,
        "tdqn_layer_ms": layer,
        "tdqn_adam_ns": 1e6 * adam,
        "tdqn_product_ns": 1e6 * product,
        "tdqn_evaluation_fixed_ms": evaluated[0],
        "tdqn_evaluation_ns": 1e6 * evaluated[1],
        "tdqn_copy_fixed_ms": copied[0],
        "tdqn_copy_ns": 1e6 * copied[1],
    }


def flag_trader() -> dict[str, float]:
    """Rates of FLAG-Trader with texts of three and of nine fields, on 200 training and 100 test days."""
    data = load_dataset(EMBEDDED)
    found: dict[str, float] = {}
    problem = FlagProblem(data.train_bars("ORVN").iloc[-230:], data.test_bars("ORVN").iloc[:130])
    usual = replace(flag_settings("flag_trader", load_profile("quick")), train_days=0)
    figures = []
    for fields in (usual.fields, FlagTraderSettings().fields):
        settings = replace(usual, fields=fields)
        _, lanes, texts = laid_out({"": problem}, [0, 1], settings)
        started = time.process_time()
        backbone = Backbone(settings, torch.device("cpu"))
        found.setdefault("flag_start_s", time.process_time() - started)  # the first time, imports included
        tokens = tokenised(backbone, texts, settings)
        started = time.process_time()
        cache = activations(backbone, tokens, torch.float32)
        reading = 1e3 * (time.process_time() - started) / len(texts)
        group = FlagGroup(lanes, [0, 1], settings, backbone, CachedPolicy(cache, backbone))
        group._due.clear()
        decision = _median(group.advance, 4) / (2 * settings.rollout)
        walked = _median(group.final, 3) / (2 * len(texts))
        figures.append((len(fields.split()), reading, decision, walked))
    (few, *low), (many, *high) = figures
    for name, one, other in zip(("text", "decision", "walk"), low, high, strict=True):
        slope = (other - one) / (many - few)
        found |= {f"flag_{name}_ms": one - slope * few, f"flag_{name}_field_ms": slope}
    return found


def numbers() -> dict[str, float]:
    """Rates of PPO on numbers: its start, a decision, a day of the walk."""
    data = load_dataset(EMBEDDED)
    settings = flag_settings("ppo_numbers", load_profile("quick"))

    def seconds(steps: int, days: int) -> float:
        problem = FlagProblem(data.train_bars("ORVN").iloc[-230:], data.test_bars("ORVN").iloc[:days])
        started = time.process_time()
        train_on_numbers(problem, [0], replace(settings, steps=steps))
        return time.process_time() - started

    first, short, long, longer = seconds(40, 130), seconds(40, 130), seconds(800, 130), seconds(40, 500)
    return {
        "ppo_start_s": first - short,
        "ppo_decision_ms": 1e3 * (long - short) / 760,
        "ppo_walk_ms": 1e3 * (longer - short) / 370,
    }


def nano_batches(run: Run) -> dict[str, float]:
    """Rates of Nano, fitted to the batches of a run's stores (relative errors), and how long its replies are."""
    rows, seconds, lengths = [], [], defaultdict(list)
    for folder in ("strategies", "audit"):
        batches = defaultdict(list)
        for paid in open_store(run.path / folder).paid:
            batches[paid.purpose, paid.seconds].append(paid.usage)
            lengths[paid.purpose.split(" ")[0]].append(paid.usage.completion)
        for (_, took), batch in batches.items():
            read = sum(one.prompt for one in batch) - max(one.cached for one in batch) * (len(batch) - 1)
            written = [one.completion for one in batch]
            back = sum(one.prompt * one.completion for one in batch)
            rows.append((read, max(written), sum(written), back))
            seconds.append(took)
    rates = _fitted(np.array(rows, float), np.array(seconds))
    found = dict(zip(("nano_read_us", "nano_turn_ms", "nano_token_ms", "nano_back_ns"), rates, strict=True))
    scale = {"nano_read_us": 1e6, "nano_turn_ms": 1e3, "nano_token_ms": 1e3, "nano_back_ns": 1e9}
    found = {name: scale[name] * value for name, value in found.items()}
    return found | {
        f"nano_reply_{name}_tokens": float(np.mean(own)) for name, own in lengths.items() if name != "audit"
    }


def notebooks(folder: Path) -> dict[str, float]:
    """Mean seconds of the notebooks of tickers, where two processes made them: a file was begun when one of two was free."""
    first = max(file.stat().st_mtime for file in folder.glob("*/*/manifest.json"))
    free, found = [first, first], defaultdict(list)
    for ticker in open_run(folder).tickers:
        for name in TICKER_NOTEBOOKS:
            ended = (folder / "notebooks" / ticker / f"{name}.ipynb").stat().st_mtime
            free.sort()
            found[f"notebook_{name[:2]}_s"].append(ended - free[0])
            free[0] = ended
    return {name: float(np.median(values)) for name, values in found.items()}


def _evaluated(group: Group) -> None:
    group._evaluate(0)
    group._log(None)


def _median(call: Any, times: int) -> float:
    """Milliseconds of processor time of a call, the median of several."""
    found = []
    for _ in range(times):
        started = time.process_time()
        call()
        found.append(1e3 * (time.process_time() - started))
    return float(np.median(found))


def _fitted(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Rates that are not negative, for the least relative errors."""
    from scipy.optimize import nnls

    scale = np.abs(rows).max(0)
    rates, _ = nnls(rows / scale / values[:, None], np.ones(len(values)))
    return rates / scale


if __name__ == "__main__":
    main()
