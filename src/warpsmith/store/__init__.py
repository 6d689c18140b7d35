"""What runs leave behind: one SQLite file with their events, kernel texts and incumbents."""

from warpsmith.store.incumbents import Incumbent
from warpsmith.store.runs import StoredRun
from warpsmith.store.store import Store

__all__ = ["Incumbent", "Store", "StoredRun"]
