"""The site in a real browser: no errors, sorted, filtered, compared, walked by keyboard, in light and in dark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.site.chromium import errors, open_page, wait_for_the_script
from tests.site.recorded import BEFORE, BEST, digest_of

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def kinds(site: Path) -> list[Path]:
    """One page of each kind."""
    best = digest_of(site.parent / "library", BEST)
    places = (
        *("index.html", "compare.html", "tasks/*.html", f"kernels/{best}.html", "runs/2*.html", "runs/*/*.html"),
        *("compare/*.html", "runs/index.html"),
    )
    return [sorted(site.glob(place))[0] for place in places]


def cells(browser: Chrome, column: int) -> list[str]:
    """Texts of a column of the first table."""
    rows = browser.execute_script(
        "return [...document.querySelector('table').tBodies[0].rows].filter(r => !r.hidden).map(r => r.cells["
        + str(column)
        + "].textContent.trim())"
    )
    assert isinstance(rows, list)
    return rows


def test_no_page_writes_an_error_to_the_console(browser: Chrome, site: Path) -> None:
    errors(browser)
    for page in kinds(site):
        open_page(browser, page.as_uri())
        assert errors(browser) == [], page


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_its_window(browser: Chrome, site: Path, width: int) -> None:
    try:
        for page in kinds(site):
            device = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
            open_page(browser, page.as_uri())
            wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert browser.execute_script(wide) <= 0, page
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.full)])
def test_axe_finds_nothing(browser: Chrome, site: Path, theme: str) -> None:
    from axe_core_python.selenium import Axe

    for page in kinds(site):
        open_page(browser, page.as_uri())
        browser.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
        found: dict[str, Any] = Axe().run(browser)
        said = [(it["id"], [node["html"][:120] for node in it["nodes"][:2]]) for it in found["violations"]]
        assert said == [], page


def test_a_table_is_sorted_by_its_headers_with_the_keyboard(browser: Chrome, site: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    open_page(browser, kinds(site)[2].as_uri())
    assert cells(browser, 0) == ["1", "2", "3", "4", "5", "6"]
    head = browser.find_element("css selector", "th[data-sort] button")
    head.send_keys(Keys.ENTER)
    head.send_keys(Keys.ENTER)
    assert cells(browser, 0) == ["6", "5", "4", "3", "2", "1"]
    assert head.find_element("xpath", "..").get_attribute("aria-sort") == "descending"


def test_a_filter_hides_rows_and_stands_in_the_address(browser: Chrome, site: Path) -> None:
    page = kinds(site)[2]
    open_page(browser, page.as_uri())
    browser.find_element("name", "text").send_keys("seed")
    assert cells(browser, 4) == ["seed"]
    assert browser.current_url.endswith("#text=seed")
    address = browser.current_url
    browser.get("about:blank")
    browser.get(address)
    wait_for_the_script(browser)
    assert cells(browser, 4) == ["seed"]
    assert browser.find_element("css selector", "form output").text == "1 shown"


def test_two_kernels_are_compared_by_workload(browser: Chrome, site: Path) -> None:
    page = kinds(site)[6].as_uri()
    best, before = (digest_of(site.parent / "library", candidate) for candidate in (BEST, BEFORE))
    open_page(browser, f"{page}#a={best}&b={before}")
    table = {row[0]: row[1:] for row in compared(browser)}
    assert [best, before, ""] == table["Kernel"]
    times = [row for name, row in table.items() if name.endswith(", us")]
    assert 5 == len(times)
    assert all(float(row[2].rstrip("x")) < 1 for row in times)
    assert "modelled. The first is the faster one at 5 of 5" in browser.find_element("css selector", "output").text
    browser.find_element("id", "swap").click()
    assert ["Kernel", before, best, ""] == compared(browser)[0]
    assert browser.current_url.endswith(f"#a={before}&b={best}")


def compared(browser: Chrome) -> list[list[str]]:
    """Cells of the comparison's rows."""
    rows = browser.execute_script(
        "return [...document.querySelectorAll('#compare tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    )
    assert isinstance(rows, list)
    return rows


def test_the_theme_can_be_turned_and_is_kept(browser: Chrome, site: Path) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    open_page(browser, (site / "index.html").as_uri())
    ground = "return getComputedStyle(document.body).backgroundColor"

    def is_kept(_: Chrome) -> bool:
        before = browser.execute_script(ground)
        browser.find_element("id", "theme").click()
        assert browser.execute_script(ground) != before
        turned = browser.find_element("id", "theme").get_attribute("aria-pressed")
        browser.refresh()
        wait_for_the_script(browser)
        return browser.find_element("id", "theme").get_attribute("aria-pressed") == turned

    # What a page stores passes through another process of the browser, which a busy machine lets lose a write for good:
    # so it is turned again. A page that does not store it, or does not read it, fails however often that is done.
    WebDriverWait(browser, 30).until(is_kept)


def test_the_first_tab_offers_to_skip_to_the_content(browser: Chrome, site: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    open_page(browser, (site / "index.html").as_uri())
    browser.find_element("tag name", "body").send_keys(Keys.TAB)
    assert browser.switch_to.active_element.text == "Skip to content"


def test_a_hostile_kernel_text_runs_no_script(browser: Chrome, site: Path, tmp_path: Path) -> None:
    page = tmp_path / "evil.html"
    text = kinds(site)[3].read_text(encoding="utf-8")
    page.write_text(text.replace("</main>", "<script>document.title = 'owned'</script></main>"), encoding="utf-8")
    open_page(browser, page.as_uri())
    assert browser.title != "owned"
    assert any("Content Security Policy" in said for said in errors(browser))
