"""Every page of a book in headless Chromium, as wide as a desk and as a phone."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reviewing import CHROMIUM, OPTIONS

WIDTHS = (1280, 400)  # pixels
DRIVER = shutil.which("chromedriver")
WHEN_TYPESET = """
const done = arguments[0];
const typeset = window.MathJax && MathJax.startup ? MathJax.startup.promise : Promise.resolve();
typeset.then(() => done());
"""
PAGE = """
const within = box => box.right <= window.innerWidth + 1;
return {
  formulas: document.querySelectorAll('.math').length,
  typeset: document.querySelectorAll('mjx-container').length,
  wrong: document.querySelectorAll('mjx-merror, [data-mjx-error]').length,
  width: document.documentElement.scrollWidth,
  figures: document.querySelectorAll('.bd-article img').length,
  unloaded: [...document.images].filter(image => !image.complete || !image.naturalWidth).length,
  wide: [...document.querySelectorAll('.bd-article img')].filter(image => !within(image.getBoundingClientRect())).length,
  searches: [...document.querySelectorAll('.search-button-field')].filter(field => field.offsetParent).length,
}
"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tmp_path_factory.mktemp("profile")
    for option in ("--headless", "--no-sandbox", *OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.get("about:blank")
    _requests(driver)  # the browser's own first page is not ours
    yield driver
    driver.quit()


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_is_right(browser: Any, smoke_book: Path, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    pages = [page for page in sorted(smoke_book.rglob("*.html")) if "_static" not in page.parts]
    figures = formulas = 0
    for page in pages:
        browser.get(page.as_uri())
        browser.execute_async_script(WHEN_TYPESET)
        seen = browser.execute_script(PAGE)
        complaints = [
            entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("WARNING", "SEVERE")
        ]
        assert not complaints, f"{page.name}: {complaints}"
        assert not _requests(browser), page.name
        assert seen["typeset"] == seen["formulas"], page.name
        assert seen["wrong"] == seen["unloaded"] == seen["wide"] == 0, f"{page.name}: {seen}"
        assert seen["width"] <= width, f"{page.name} is {seen['width']} pixels wide"
        assert seen["searches"] <= 1, page.name
        figures, formulas = figures + seen["figures"], formulas + seen["formulas"]
    assert figures >= 10
    assert formulas >= 30


def _requests(browser: Any) -> list[str]:
    """What was asked of the network since the last call."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
