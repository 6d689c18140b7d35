"""A run in a real browser while another process records it: the page follows to the end, and keeps what one does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.site.answering import Client, Recording, answering
from tests.site.chromium import errors, open_page

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Recording, Path, Client]]:
    """A run that has just begun, its store, and a server that shows it."""
    recording, store = Recording(tmp_path), tmp_path / "store.sqlite"
    recording.append(store, 3)
    with answering(store, tmp_path / "library", cache=tmp_path / "cache") as client:
        yield recording, store, client


def soon(browser: Chrome, holds: Callable[[], bool]) -> None:
    """Wait until it holds."""
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(browser, 30, poll_frequency=0.1).until(lambda _: holds())


def text(browser: Chrome, place: str) -> str:
    return str(browser.find_element("css selector", place).get_attribute("textContent"))


def test_the_page_follows_a_run_to_its_end_while_another_process_records_it(
    browser: Chrome, running: tuple[Recording, Path, Client], tmp_path: Path
) -> None:
    recording, store, client = running
    errors(browser)
    open_page(browser, f"{client.url}runs/{recording.run}.html")
    browser.execute_script("window.same = true")
    assert "the gate evaluates" in text(browser, "#stage")
    assert "not evaluated" in text(browser, "#tree")
    # Another process, as `warpsmith optimize` is one.
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom tests.site.answering import Recording\n"
        "recording = Recording(Path(sys.argv[1]))\n"
        "for upto in range(4, len(recording.events) + 1):\n"
        "    recording.append(Path(sys.argv[2]), upto)\n    time.sleep(0.05)\n"
    )
    scratch = tmp_path / "other"
    scratch.mkdir()
    with subprocess.Popen([sys.executable, "-c", script, str(scratch), str(store)], cwd=ROOT) as writer:
        soon(browser, lambda: "Verified" in text(browser, "#tree"))
        soon(browser, lambda: "ended" in text(browser, "#stage"))
        assert writer.wait(30) == 0
    assert browser.execute_script("return window.same"), "the page was never loaded anew"
    assert 7 == len(browser.find_elements("css selector", "#tree li"))
    assert 13 == len(browser.find_elements("css selector", "#calls tbody tr"))
    assert "15.5%" in text(browser, "#uses")
    assert errors(browser) == []


def test_order_filter_and_focus_stay_when_a_table_comes_anew(
    browser: Chrome, running: tuple[Recording, Path, Client]
) -> None:
    recording, store, client = running
    recording.append(store, 12)
    open_page(browser, f"{client.url}runs/{recording.run}.html")
    head = "#calls th[data-sort] button"
    browser.find_element("css selector", head).click()
    browser.find_element("css selector", head).click()
    assert "descending" == browser.find_element("css selector", "#calls th").get_attribute("aria-sort")
    before = len(browser.find_elements("css selector", "#calls tbody tr"))
    recording.append(store, len(recording.events))
    soon(browser, lambda: len(browser.find_elements("css selector", "#calls tbody tr")) > before)
    assert "descending" == browser.find_element("css selector", "#calls th").get_attribute("aria-sort")
    first = text(browser, "#calls tbody tr td")
    assert first == max(text_ for text_ in cells(browser))
    assert "Call" == browser.switch_to.active_element.text.rstrip("↑↓ ")


def cells(browser: Chrome) -> list[str]:
    found = browser.execute_script(
        "return [...document.querySelectorAll('#calls tbody tr')].map(row => row.cells[0].textContent)"
    )
    assert isinstance(found, list)
    return found


def test_a_list_of_runs_grows_and_its_filter_holds(browser: Chrome, running: tuple[Recording, Path, Client]) -> None:
    recording, store, client = running
    open_page(browser, f"{client.url}runs/index.html#state=accepted")
    shown = "return [...document.querySelectorAll('tr[data-row]')].filter(row => !row.hidden).length"
    assert 0 == browser.execute_script(shown)
    recording.append(store, len(recording.events))
    soon(browser, lambda: browser.execute_script(shown) == 1)


def test_a_page_says_when_its_server_is_gone(browser: Chrome, tmp_path: Path) -> None:
    recording, store = Recording(tmp_path), tmp_path / "store.sqlite"
    recording.append(store, 3)
    with answering(store, cache=tmp_path / "cache") as client:
        open_page(browser, f"{client.url}runs/{recording.run}.html")
        soon(browser, lambda: text(browser, "#live").strip() == "Live")
    soon(browser, lambda: "No answer since" in text(browser, "#live"))
    assert "the gate evaluates" in text(browser, "#stage"), "what it said last stays"


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.full)])
def test_axe_finds_nothing_on_a_live_page(browser: Chrome, running: tuple[Recording, Path, Client], theme: str) -> None:
    from axe_core_python.selenium import Axe

    recording, store, client = running
    recording.append(store, 20)
    for place in ("", f"runs/{recording.run}.html", "runs/index.html"):
        open_page(browser, f"{client.url}{place}")
        browser.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
        found: dict[str, Any] = Axe().run(browser)
        assert [(it["id"], [node["html"][:120] for node in it["nodes"][:2]]) for it in found["violations"]] == []
