"""What `ptxas -v` says of each entry."""

from __future__ import annotations

import re

from warpsmith.core.artifact import Resources

_ENTRY = re.compile(r"ptxas info\s*: Compiling entry function '([^']+)'")
_PROPERTIES = re.compile(r"ptxas info\s*: Function properties for (\S+)")
_STACK = re.compile(r"\s*(?:ptxas\s*\.)?\s*(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"ptxas info\s*: Used (\d+) registers")
_SHARED = re.compile(r"(\d+)(?:\+\d+)? bytes smem")
_CONSTANT = re.compile(r"(\d+) bytes cmem\[\d+\]")


def parse_resources(log: str, max_threads: dict[str, int | None]) -> dict[str, Resources]:
    """Resources by mangled entry name. `max_threads` comes from the PTX, as ptxas does not repeat it.

    The form is that of ptxas 13.0: `Used 32 registers, used 1 barriers, 4224 bytes smem, 400 bytes cmem[0]`.
    """
    found: dict[str, Resources] = {}
    entry = function = ""
    stacks: dict[str, tuple[int, int, int]] = {}
    for line in log.splitlines():
        if (match := _ENTRY.match(line)) is not None:
            entry = match.group(1)
        elif (match := _PROPERTIES.match(line)) is not None:
            function = match.group(1)
        elif (match := _STACK.match(line)) is not None:
            stacks[function] = int(match.group(1)), int(match.group(2)), int(match.group(3))
        elif entry and (match := _USED.match(line)) is not None:
            stack, stores, loads = stacks.get(entry, (0, 0, 0))
            found[entry] = Resources(
                registers=int(match.group(1)),
                static_shared=sum(int(size) for size in _SHARED.findall(line)),
                spill_stores=stores,
                spill_loads=loads,
                stack=stack,
                constant=sum(int(size) for size in _CONSTANT.findall(line)),
                max_threads=max_threads.get(entry),
            )
            entry = ""
    return found
