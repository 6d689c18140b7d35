"""The site in a real browser: no errors, sorted, filtered, compared, walked by keyboard, in light and in dark."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.required import skip_or_fail

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def missing() -> str:
    """What these tests lack here; empty where they can run."""
    if find_spec("selenium") is None or find_spec("axe_core_python") is None:
        return "selenium and axe-core-python are not installed: pip install -e .[dev]"
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            return f"{program} is not in PATH"
    return ""


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    """Chromium without a window; skipped where it is missing, unless WARPSMITH_REQUIRE lists `browser`."""
    if why := missing():
        skip_or_fail("browser", why)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


def kinds(site: Path) -> list[Path]:
    """One page of each kind."""
    places = ("index.html", "compare.html", "tasks/*.html", "kernels/906a34ab3aea.html", "runs/*.html", "runs/*/*.html")
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


def open_page(browser: Chrome, page: Path, fragment: str = "") -> None:
    browser.get("about:blank")
    browser.get(page.as_uri() + fragment)
    wait_for_the_script(browser)


def wait_for_the_script(browser: Chrome) -> None:
    """The page's script has run once the button for the theme is shown."""
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(browser, 20).until(lambda it: it.find_element("id", "theme").is_displayed())


def test_no_page_writes_an_error_to_the_console(browser: Chrome, site: Path) -> None:
    browser.get_log("browser")  # type: ignore[no-untyped-call]
    for page in kinds(site):
        open_page(browser, page)
        assert browser.get_log("browser") == [], page  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(browser: Chrome, site: Path, theme: str) -> None:
    from axe_core_python.selenium import Axe

    for page in kinds(site):
        open_page(browser, page)
        browser.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
        found: dict[str, Any] = Axe().run(browser)
        said = [(it["id"], [node["html"][:120] for node in it["nodes"][:2]]) for it in found["violations"]]
        assert said == [], page


def test_a_table_is_sorted_by_its_headers_with_the_keyboard(browser: Chrome, site: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    open_page(browser, kinds(site)[2])
    assert cells(browser, 0) == ["1", "2", "3", "4", "5", "6"]
    head = browser.find_element("css selector", "th[data-sort] button")
    head.send_keys(Keys.ENTER)
    head.send_keys(Keys.ENTER)
    assert cells(browser, 0) == ["6", "5", "4", "3", "2", "1"]
    assert head.find_element("xpath", "..").get_attribute("aria-sort") == "descending"


def test_a_filter_hides_rows_and_stands_in_the_address(browser: Chrome, site: Path) -> None:
    page = kinds(site)[2]
    open_page(browser, page)
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
    open_page(browser, site / "compare.html", "#a=906a34ab3aea&b=263d7fb9ac69")
    rows = browser.find_elements("css selector", "#compare tbody tr")
    assert len(rows) == 5
    assert all(float(row.find_elements("tag name", "td")[3].text.rstrip("x")) < 1 for row in rows)
    assert "modelled" in browser.find_element("css selector", "#compare output").text


def test_the_theme_can_be_turned_and_is_kept(browser: Chrome, site: Path) -> None:
    open_page(browser, site / "index.html")
    ground = "return getComputedStyle(document.body).backgroundColor"
    before = browser.execute_script(ground)
    browser.find_element("id", "theme").click()
    assert browser.execute_script(ground) != before
    turned = browser.find_element("id", "theme").get_attribute("aria-pressed")
    browser.refresh()
    wait_for_the_script(browser)
    assert browser.find_element("id", "theme").get_attribute("aria-pressed") == turned


def test_the_first_tab_offers_to_skip_to_the_content(browser: Chrome, site: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    open_page(browser, site / "index.html")
    browser.find_element("tag name", "body").send_keys(Keys.TAB)
    assert browser.switch_to.active_element.text == "Skip to content"


def test_a_hostile_kernel_text_runs_no_script(browser: Chrome, site: Path, tmp_path: Path) -> None:
    page = tmp_path / "evil.html"
    text = kinds(site)[3].read_text(encoding="utf-8")
    page.write_text(text.replace("</main>", "<script>document.title = 'owned'</script></main>"), encoding="utf-8")
    open_page(browser, page)
    assert browser.title != "owned"
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))  # type: ignore[no-untyped-call]
