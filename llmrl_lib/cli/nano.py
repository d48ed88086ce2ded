"""`llmrl nano`: makes and examines the small model that comes with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from llmrl_lib.cli.console import Debug, console, plain_errors, print_frame

nano = typer.Typer(no_args_is_help=True, help="Make and examine the small model that comes with the package.")


@nano.command("train")
def train(
    out: Annotated[Path, typer.Option(help="Folder to write the model into.")],
    work: Annotated[
        Path, typer.Option(help="Folder for lessons and checkpoint; the same command continues it.")
    ] = Path("runs/nano"),
    stop_after: Annotated[int, typer.Option(help="Steps in all after which to stop, for a trial; 0: none.", min=0)] = 0,
    threads: Annotated[int, typer.Option(help="Processor threads.", min=1)] = 1,
    debug: Debug = False,
) -> None:
    """Train Nano on invented markets, in about an hour on one thread. A stopped run goes on where it was."""
    with plain_errors(debug):
        import torch

        from llmrl_lib.strategy.nano import make_nano

        torch.set_num_threads(threads)
        make_nano(work, out, told=lambda line: print(line, flush=True), stop_after=stop_after or None)
        print(f"Written to {out}. Use it with LocalChat, or examine it with: llmrl nano examine {out}")


@nano.command("examine")
def examine(
    model: Annotated[Path | None, typer.Argument(help="Folder of a model; the shipped one by default.")] = None,
    prompts: Annotated[str, typer.Option(help="Prompts, separated by commas.")] = "p0,p1,p2,p3,p4",
    markets: Annotated[int, typer.Option(help="Invented markets for each prompt.", min=1)] = 1,
    strength: Annotated[float, typer.Option(help="Strength of their signal, 0 (none) to 2.")] = 1.0,
    debug: Debug = False,
) -> None:
    """Examine a local model on invented markets that Nano was not trained on, against what could be known there."""
    with plain_errors(debug):
        from llmrl_lib.language.local import LocalChat
        from llmrl_lib.language.nano import Nano
        from llmrl_lib.strategy.lessons.examination import examine as examined
        from llmrl_lib.strategy.lessons.examination import marks

        chat = LocalChat(model) if model else Nano()
        rows = []
        for prompt in [name.strip() for name in prompts.split(",") if name.strip()]:
            found = marks(examined(chat, prompt, range(markets), strength))
            rows.append({"prompt": prompt, **found._asdict()})
        print_frame(console(), pd.DataFrame(rows).set_index("prompt").T.reset_index(names="mark"), "Examination")
