"""A browser to look at pages with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tests.required import skip_or_fail

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


def missing() -> str:
    """What these tests lack here; empty where they can run."""
    if find_spec("selenium") is None or find_spec("axe_core_python") is None:
        return "selenium and axe-core-python are not installed: pip install -e .[dev]"
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            return f"{program} is not in PATH"
    return ""


@contextmanager
def chromium() -> Iterator[Chrome]:
    """Chromium without a window; the test is skipped where it is missing, unless WARPSMITH_REQUIRE lists `browser`."""
    if why := missing():
        skip_or_fail("browser", why)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def open_page(browser: Chrome, address: str) -> None:
    """Load a page anew, and wait for its script."""
    browser.get("about:blank")
    browser.get(address)
    wait_for_the_script(browser)


def wait_for_the_script(browser: Chrome) -> None:
    """The page's script has run once the button for the theme is shown."""
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(browser, 20).until(lambda it: it.find_element("id", "theme").is_displayed())


def errors(browser: Chrome) -> list[str]:
    """What pages have written to the console since the last time this was asked."""
    return [str(entry["message"]) for entry in browser.get_log("browser")]  # type: ignore[no-untyped-call]
