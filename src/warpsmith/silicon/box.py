"""A run's time and its results: units of work that are done once, in files that a later run goes on from."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warpsmith.core.errors import WarpsmithError

MOST_FILES = 6
SECONDS = 480.0
"""Eight minutes: what one unit may overrun is left to ten."""
FILES = ("run.json", "agreement.json", "golden.json", "times.json", "counters.json", "calibration.json")
"""All that is ever written."""

Unit = Mapping[str, Any]


@dataclass(slots=True)
class Box:
    """A folder of results and the time that is left."""

    folder: Path
    seconds: float = SECONDS
    say: Callable[[str], None] = print
    clock: Callable[[], float] = time.monotonic
    started: float = field(init=False)
    left_out: list[str] = field(default_factory=list)
    """Units that there was no time for."""
    failed: list[str] = field(default_factory=list)
    """Units whose machine, not whose kernel, failed."""

    def __post_init__(self) -> None:
        self.started = self.clock()
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def left(self) -> float:
        """Seconds until no further unit is begun."""
        return self.seconds - (self.clock() - self.started)

    def unit(self, file: str, name: str, work: Callable[[], Unit], *, needs: float = 5.0) -> Unit | None:
        """Do a unit of work unless a run did it already, and keep its result under `name` in `file`.

        Args:
            file: one of FILES.
            name: of the unit; results of other versions of what it looks at have other names.
            work: gives a JSON object.
            needs: seconds it takes; with fewer left it is not begun.

        Returns:
            Its result, now or from before; None where there was no time, or our side failed.
        """
        if file not in FILES:
            raise ValueError(f"{file} is none of the {MOST_FILES} files")
        known = self.read(file)
        if name in known:
            return dict(known[name])
        if self.left < needs:
            self.left_out.append(f"{file}: {name}")
            return None
        begun = self.clock()
        try:
            result = dict(work())
        except WarpsmithError as error:
            self.failed.append(f"{name}: {error}")
            self.say(f"  failed  {name}: {str(error).splitlines()[0]}")
            return None
        took = round(self.clock() - begun, 2)
        self.write(file, {**known, name: {**result, "seconds": took}})
        self.say(f"  {took:6.1f} s  {name}")
        return result

    def read(self, file: str) -> dict[str, Any]:
        """A file's units by name; empty where there is none yet.

        Raises:
            ValueError: it holds something else.
        """
        path = self.folder / file
        if not path.is_file():
            return {}
        found = json.loads(path.read_text())
        if not isinstance(found, dict):
            raise ValueError(f"{path} holds no results; remove it")
        return found

    def write(self, file: str, units: Mapping[str, Any]) -> None:
        """Replace a file whole: a run that is killed leaves the old one or the new one."""
        path = self.folder / file
        # No second name in the folder that counts its files: the new text waits beside it.
        waiting = path.parent.with_name(f".{path.parent.name}.{file}.new")
        waiting.write_text(json.dumps(units, indent=1, sort_keys=True, allow_nan=False) + "\n")
        os.replace(waiting, path)  # noqa: PTH105 - atomic by contract
