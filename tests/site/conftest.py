"""The site that most tests of this folder look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.site.recorded import record
from warpsmith.kernels_generated.library import list_entries
from warpsmith.leaderboard.site import write_site
from warpsmith.store import Store


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of one recorded run and the kernels that came of it."""
    folder = tmp_path_factory.mktemp("site")
    with Store.open(folder / "store.sqlite") as store:
        record(store, folder / "library")
        listing = list_entries(folder / "library")
        write_site(folder / "pages", listing.entries, listing.refused, store)
    return folder / "pages"
