"""The site that most tests of this folder look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.site.chromium import chromium
from tests.site.recorded import record
from warpsmith.kernels_generated.shelf import read_shelf
from warpsmith.leaderboard.site import write_site
from warpsmith.store import Store

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of one recorded run and the kernels that came of it."""
    folder = tmp_path_factory.mktemp("site")
    with Store.open(folder / "store.sqlite") as store:
        record(store, folder / "library")
        write_site(folder / "pages", read_shelf([folder / "library"], folder / "cache"), store)
    return folder / "pages"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with chromium() as driver:
        yield driver
