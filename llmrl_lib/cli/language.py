"""`llmrl strategies` and `llmrl refine`: ask language models."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from llmrl_lib.cli.console import (
    BaseUrl,
    BudgetUsd,
    Concurrency,
    Debug,
    DryRun,
    Free,
    Logprobs,
    MaxTokens,
    Prices,
    Timeout,
    console,
    plain_errors,
    print_frame,
    second_interrupt_ends_at_once,
)


def strategies(
    dataset: Annotated[Path, typer.Option(help="Folder of a dataset.")],
    model: Annotated[str, typer.Option(help="nano, the folder of a local model, or the server's name for one.")],
    out: Annotated[Path, typer.Option(help="Folder for replies and strategies; the same command continues it.")] = Path(
        "runs/strategies"
    ),
    prompt: Annotated[str, typer.Option(help="p0 to p4, or a .toml file.")] = "p4",
    tickers: Annotated[str, typer.Option(help="Tickers, separated by commas; all of the dataset by default.")] = "",
    base_url: BaseUrl = "",
    draws: Annotated[int, typer.Option(help="1: temperature 0; more: 0.7, a seed each.", min=1)] = 1,
    start: Annotated[str, typer.Option(help="First day of decisions; the test years by default.")] = "",
    end: Annotated[str, typer.Option(help="First day after.")] = "",
    budget_usd: BudgetUsd = None,
    prices: Prices = None,
    free: Free = False,
    logprobs: Logprobs = 5,
    max_tokens: MaxTokens = 2048,
    timeout: Timeout = 120.0,
    concurrency: Concurrency = 8,
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """Make monthly strategies with a language model. Replies are kept, so the command can be repeated without cost."""
    with plain_errors(debug), second_interrupt_ends_at_once():
        from llmrl_lib.experiments import strategies as work
        from llmrl_lib.experiments.adviser import Adviser
        from llmrl_lib.language.budget import Budget
        from llmrl_lib.language.ledger import ledger
        from llmrl_lib.language.prices import load_prices
        from llmrl_lib.language.replay import Replay
        from llmrl_lib.market.dataset import load_dataset
        from llmrl_lib.strategy.strategist import Ask

        chat = Adviser(model, base_url, concurrency, timeout).chat()
        known = load_prices(prices, free=[chat.identity["model"]] if free or "server" not in chat.identity else [])
        named = [name.strip() for name in tickers.split(",") if name.strip()]
        ask = Ask(top_logprobs=logprobs or None, max_tokens=max_tokens)
        wanted = work.order(load_dataset(dataset), named, prompt, start or None, end or None, draws, ask)
        budget = None if budget_usd is None or dry_run else Budget(budget_usd, known)
        replay = Replay(out, chat, purpose=wanted.label, budget=budget)
        screen = console()
        costs = work.cost_of(wanted, replay, known)
        own = hasattr(chat, "prompt_tokens")
        said = (
            "prompts counted by the model's own tokenizer, replies estimated"
            if own
            else "tokens and costs are estimates"
        )
        print_frame(screen, costs, f"What is asked ({said})")
        if costs["usd"].isna().any():
            print(f"No price is known for {model!r}: give one with --prices, or say --free.")
        if dry_run:
            return
        with screen.status("asking") as status:
            made = work.produce(wanted, replay, out, lambda done, total: status.update(f"{done} of {total} answered"))
        print_frame(screen, work.summary(wanted, made), f"{len(made)} strategies in {out}")
        columns = ["calls", "prompt_tokens", "completion_tokens", "mean_prompt_tokens", "total_usd", "seconds"]
        told = ledger(out, known)[columns].rename(columns={"seconds": "seconds waited, summed over requests"})
        print_frame(screen, told.reset_index(), "What this folder has cost so far")


def refine(
    dataset: Annotated[Path, typer.Option(help="Folder of a dataset.")],
    out: Annotated[Path, typer.Option(help="Folder of the refinement; the same command continues it.")] = Path(
        "runs/refinement"
    ),
    model: Annotated[
        str, typer.Option(help="The strategist: nano, a folder of a local model, or the server's name for one.")
    ] = "nano",
    writer: Annotated[str, typer.Option(help="Model of the writer; the strategist's by default.")] = "",
    trainer: Annotated[str, typer.Option(help="Model of the trainer; the strategist's by default.")] = "",
    judge: Annotated[str, typer.Option(help="Model of the judge; the strategist's by default.")] = "",
    base_url: BaseUrl = "",
    embedding: Annotated[str, typer.Option(help="Embedding model of the server; TF-IDF by default.")] = "",
    tickers: Annotated[str, typer.Option(help="Tickers to refine on, by commas; all but the unseen by default.")] = "",
    unseen: Annotated[
        str | None, typer.Option(help="Ticker for the final judgement alone; the last one by default, '' for none.")
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="CSV file of months judged by people: ticker,date,direction,note.")
    ] = None,
    parent: Annotated[str, typer.Option(help="Prompt whose templates are kept: p1, or a .toml file.")] = "p1",
    baseline: Annotated[str, typer.Option(help="Prompt to be beaten: p0 to p4, or a .toml file.")] = "p0",
    repetitions: Annotated[int, typer.Option(help="Repetitions, each on other windows.", min=1)] = 5,
    rounds: Annotated[int, typer.Option(help="Candidates of a repetition, at most.", min=1)] = 3,
    exemplars: Annotated[int, typer.Option(help="Labelled months that the trainer is shown.", min=2)] = 16,
    held_out: Annotated[int, typer.Option(help="Last training years, kept for the final judgement.", min=0)] = 2,
    test_years: Annotated[
        bool, typer.Option("--test-years", help="Look at the test years too; every result is marked.")
    ] = False,
    control: Annotated[bool, typer.Option(help="Refine with a random critic, too.")] = True,
    pause: Annotated[bool, typer.Option("--pause", help="Stop after each repetition for a person's edits.")] = False,
    published_sampling: Annotated[
        bool,
        typer.Option("--published-sampling", help="Draw with the paper's penalties; replies are JSON, which suffers."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of windows, exemplars and draws.", min=0)] = 0,
    budget_usd: BudgetUsd = None,
    prices: Prices = None,
    free: Free = False,
    max_tokens: MaxTokens = 2048,
    timeout: Timeout = 120.0,
    concurrency: Concurrency = 8,
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """Refine a prompt: a trainer rates fields, a writer drafts, a judge criticises; judged in the end on years held out."""
    with plain_errors(debug), second_interrupt_ends_at_once():
        from llmrl_lib.experiments import refining as work
        from llmrl_lib.experiments.adviser import Adviser
        from llmrl_lib.experiments.refining_plan import Refinement, plan_refinement
        from llmrl_lib.experiments.refining_tables import candidates_table
        from llmrl_lib.experiments.refining_verdict import verdict_sentences, worth_using
        from llmrl_lib.language.embedding import OpenAIEmbedding
        from llmrl_lib.language.prices import load_prices
        from llmrl_lib.market.dataset import load_dataset
        from llmrl_lib.strategy.refinement.exemplars import read_annotations

        named = dict.fromkeys([model, trainer or model, writer or model, judge or model])
        chats = {name: Adviser(name, base_url, concurrency, timeout).chat() for name in named}
        plan = plan_refinement(
            load_dataset(dataset),
            chats[model],
            writer=chats[writer or model],
            trainer=chats[trainer or model],
            judge=chats[judge or model],
            tickers=[name.strip() for name in tickers.split(",") if name.strip()],
            unseen=unseen,
            settings=Refinement(
                repetitions=repetitions,
                rounds=rounds,
                exemplars=exemplars,
                held_out=held_out,
                test_years=test_years,
                control=control,
                pause=pause,
                published_sampling=published_sampling,
                max_tokens=max_tokens,
                seed=seed,
            ),
            annotations=read_annotations(annotations) if annotations else (),
            parent=parent,
            baseline=baseline,
            embed=OpenAIEmbedding(embedding, base_url or None, timeout=timeout) if embedding else None,
        )
        local = [chat.identity["model"] for chat in chats.values() if free or "server" not in chat.identity]
        known = load_prices(prices, free=[*local, *([embedding] if free and embedding else [])])
        screen = console()
        costs = work.cost_of(plan, out, known)
        print_frame(screen, costs, "What is asked at most (tokens and costs are estimates)")
        if costs["usd"].isna().any():
            unknown = costs.loc[costs["usd"].isna(), "model"].iloc[0]
            print(f"No price is known for {unknown!r}: give one with --prices, or say --free.")
        if dry_run:
            return
        with screen.status("asking") as status:
            refined = work.carry_out(plan, out, budget_usd, known, status.update)
        print_frame(screen, candidates_table(refined).drop(columns="instructions"), f"Candidates in {out}")
        if refined.waiting:
            print(f"Look at {refined.waiting}, change it or not, and give the same command again to go on.")
            return
        verdict = refined.verdict or {}
        for sentence in verdict_sentences(verdict):
            print(sentence)
        why = "Use it with" if worth_using(verdict) else "To look at what it does"
        words = ["llmrl", "strategies", "--dataset", dataset, "--model", model, "--prompt", out / "winner.toml"]
        words += ["--base-url", base_url] if base_url else []
        print(f"{why}: {shlex.join(map(str, words))}")
        print("p2.toml to p4.toml beside winner.toml extend it.")
