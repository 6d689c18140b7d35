"""What a person asks to see of a run: `block=1,0,0 thread=5,0,0`, `block=1 warp=2`, `line=37` or `fault`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod

from warpsmith.core.errors import SettingsError

Index = tuple[int, int, int]

WARP = 32
_FORMS = "Write 'block=0,0,0 thread=5,0,0', 'block=0,0,0 warp=2', 'line=37', or 'fault'."
_KEYS = ("launch", "block", "thread", "warp", "line")


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """Which executed instructions to show."""

    launch: int | None = None
    """From 1; None is every launch."""
    block: Index | None = None
    """None is every block; only a line may be followed so."""
    thread: Index | None = None
    warp: int | None = None
    line: int | None = None
    fault: bool = False
    """The thread that faulted, up to its fault."""

    def check_shape(self, grid: Index, block: Index) -> None:
        """Hold the request against a launch's shape.

        Raises:
            SettingsError: the block, thread or warp is not there.
        """
        _inside("block", self.block, grid, "the grid")
        _inside("thread", self.thread, block, "a block")
        warps = -(-prod(block) // WARP)
        if self.warp is not None and self.warp >= warps:
            raise SettingsError(f"there is no warp {self.warp} in a block of {warps}.", remedy="Warps count from 0.")


def parse_trace(text: str) -> TraceRequest:
    """Read a request.

    Raises:
        SettingsError: it is none of the forms.
    """
    words = text.split()
    if words == ["fault"]:
        return TraceRequest(fault=True)
    found: dict[str, Index] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in _KEYS or name in found:
            raise SettingsError(f"--trace: {word!r} cannot be read.", remedy=_FORMS)
        found[name] = _index(name, value)
    chosen = [name for name in ("thread", "warp", "line") if name in found]
    if len(chosen) != 1:
        raise SettingsError(f"--trace {text!r} names no thread, warp or line, or several.", remedy=_FORMS)
    if "block" not in found and chosen != ["line"]:
        found["block"] = (0, 0, 0)
    numbers = {name: index[0] for name, index in found.items()}
    for name in ("launch", "line"):
        if numbers.get(name) == 0:
            raise SettingsError(f"--trace: {name}s count from 1.", remedy=_FORMS)
    return TraceRequest(
        launch=numbers.get("launch"),
        block=found.get("block"),
        thread=found.get("thread"),
        warp=numbers.get("warp"),
        line=numbers.get("line"),
    )


def _index(name: str, text: str) -> Index:
    parts = text.split(",")
    most = 3 if name in ("block", "thread") else 1
    if len(parts) > most or not all(re.fullmatch(r"\d{1,10}", part) for part in parts):
        what = "up to three numbers" if most == 3 else "a number"
        raise SettingsError(f"--trace: {name}={text} is not {what}.", remedy=_FORMS)
    x, y, z = (*(int(part) for part in parts), 0, 0)[:3]
    return x, y, z


def _inside(name: str, index: Index | None, shape: Index, where: str) -> None:
    if index is not None and any(i >= extent for i, extent in zip(index, shape, strict=True)):
        said, of = ("({}, {}, {})".format(*item) for item in (index, shape))
        raise SettingsError(f"there is no {name} {said} in {where} of {of}.", remedy="Indices count from 0.")
