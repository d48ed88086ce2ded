"""A packet in headless Chromium: a person who goes through it, and what the page asks and tells."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
OPTIONS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZES = {"desk": (1280, 900), "phone": (390, 844)}


@dataclass
class Watched:
    """A page, and everything that it said or asked for."""

    page: Any
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def complaints(self) -> list[str]:
        """Console lines, uncaught errors and requests beyond the file itself."""
        return [*self.console, *(url for url in self.requests if not url.startswith(("file:", "blob:", "data:")))]


@contextmanager
def chromium(profile: Path, size: str = "desk") -> Iterator[Watched]:
    """A window with a profile of its own, as wide as a desk's or a phone's."""
    from playwright.sync_api import sync_playwright

    width, height = SIZES[size]
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile),
            executable_path=CHROMIUM,
            headless=True,
            chromium_sandbox=False,
            args=list(OPTIONS),
            viewport={"width": width, "height": height},
            is_mobile=size == "phone",
            has_touch=size == "phone",
            accept_downloads=True,
        )
        watched = Watched(context.pages[0])
        context.set_default_timeout(30_000)
        watched.page.on("console", lambda line: watched.console.append(line.text))
        watched.page.on("pageerror", lambda error: watched.console.append(str(error)))
        context.on("request", lambda request: watched.requests.append(request.url))
        yield watched
        context.close()


def begin(page: Any, group: str = "professional", years: int = 12) -> None:
    page.check(f"input[name=group][value={group}]")
    page.fill("#years", str(years))
    page.click("text=Begin")


def predict(page: Any, side: str, confidence: int) -> None:
    page.check(f"input[name=side][value={side}]")
    page.check(f"input[name=confidence][value='{confidence}']")
    page.click("text=Commit")


def rate(page: Any, scores: tuple[int, int, int], comment: str = "") -> None:
    for name, score in zip(("rationale", "fidelity", "safety"), scores, strict=True):
        page.check(f"input[name={name}][value='{score}']")
    page.fill("#comment", comment)
    page.click("form:last-of-type button")


def go_through(page: Any, cases: int, seed: int = 0, comment: str = "") -> list[tuple[str, int, tuple[int, int, int]]]:
    """Answers what is left of the cases; gives what was answered."""
    source, said = random.Random(seed), []
    for _ in range(cases):
        side, confidence = source.choice(["LONG", "SHORT"]), source.randint(1, 3)
        scores = (source.randint(1, 3), source.randint(1, 3), source.randint(1, 3))
        predict(page, side, confidence)
        rate(page, scores, comment)
        said.append((side, confidence, scores))
    return said


def save(page: Any, folder: Path) -> Path:
    """The file of answers, as the browser saves it."""
    with page.expect_download() as waiting:
        page.click("#save")
    place = folder / waiting.value.suggested_filename
    waiting.value.save_as(place)
    return place
