"""Finds accesses whose addresses keep the distances between lanes of an earlier one in their block.

`[%rd1]` and `[%rd1 + 64]` differ by the same amount in every lane, and so does `[%rd2]` after
`add.s64 %rd2, %rd1, %rd9` where %rd9 is the same in all lanes. What the VM finds out about the first serves the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from warpsmith.sandbox.emulator.bytecode import Draft, DraftBlock, SlotKind, Value

SAME_IN_ALL_LANES = (SlotKind.IMMEDIATE, SlotKind.PARAM, SlotKind.GLOBAL_VARIABLE)
SPECIALS_BY_LANE = frozenset((*range(3), 12, *range(17, 22)))
"""tid, laneid and lane masks, by their number in `emitter.SPECIALS`."""
CARRIES = {"lane.add.b64", "lane.add.b32", "copy32", "copy64", "lane.mov.b64", "lane.mov.b32"}
MOVE = "lane.add.b64"
SUBTRACTIONS = {"lane.sub.b64", "lane.sub.b32"}
REPEATED = {
    f"{op}.{space}.{vector}{kind}"
    for op in ("ld", "st")
    for space in ("global", "shared")
    for vector in ("", "v2.", "v4.")
    for kind in ("u16", "u32", "u64")
}
FORGET = (
    *("split", "bar.sync", "bar.warp.sync", "shfl", "vote", "match", "redux", "elect", "exit_if"),
    *("mma", "wmma", "product", "movmatrix"),
)
"""Operations, by their name's beginning, behind which other lanes may be active."""


def mark_repeats(blocks: Sequence[DraftBlock]) -> None:
    """Rename repeated accesses to their `again` handlers and give them the first one's port.

    Pointers that move by the same amount in all lanes get a handler that reads this amount once.
    """
    uniform = _Uniform(blocks)
    for block in blocks:
        _mark_block(block, uniform)
    for draft in [draft for block in blocks for draft in block.operations if draft.handler == MOVE]:
        if draft.a is not None and draft.a in uniform:
            draft.a, draft.b = draft.b, draft.a
        if draft.b is not None and draft.b in uniform:
            draft.handler = "add64.same"


class _Uniform:
    """Values that are the same in all lanes whenever they are read: written once, from such values."""

    def __init__(self, blocks: Sequence[DraftBlock]) -> None:
        self._writers: dict[int, list[Draft]] = {}
        self._known: dict[int, bool] = {}
        for block in blocks:
            for draft in block.operations:
                for value in draft.writes() if draft.written else (draft.d,):
                    self._writers.setdefault(id(value), []).append(draft)

    def __contains__(self, value: Value) -> bool:
        key = id(value)
        if key not in self._known:
            self._known[key] = False
            self._known[key] = self._decide(value)
        return self._known[key]

    def _decide(self, value: Value) -> bool:
        if value.constant is not None:
            kind = value.constant.kind
            return kind in SAME_IN_ALL_LANES or value.constant.index not in SPECIALS_BY_LANE
        writers = self._writers.get(id(value), [])
        if len(writers) != 1 or writers[0].partial:
            return False
        draft = writers[0]
        pure = draft.handler.startswith(("lane.", "copy", "extend", "truncate"))
        return pure and all(source in self for source in draft.reads())


@lru_cache(maxsize=1024)
def _matters(handler: str) -> bool:
    """Whether an operation does more to distances than end those of what it writes."""
    return handler in REPEATED or handler in CARRIES | SUBTRACTIONS or handler.startswith((*FORGET, "guarded"))


def _mark_block(block: DraftBlock, uniform: _Uniform) -> None:
    roots: dict[int, object] = {}
    leaders: dict[tuple[int, str], Draft] = {}
    kept: list[object] = []
    guarded = False
    for draft in block.operations:
        if not _matters(draft.handler):
            for value in draft.writes() if draft.written else (draft.d,):
                roots.pop(id(value), None)
            guarded = False
            continue
        if draft.handler in REPEATED and not guarded and draft.a is not None:
            root = roots.setdefault(id(draft.a), _new(kept))
            family = draft.handler.split(".", 1)[1]
            leader = leaders.setdefault((id(root), family), draft)
            if leader is not draft:
                opcode, space, rest = draft.handler.split(".", 2)
                draft.handler, draft.target = f"{opcode}.{space}.again.{rest}", leader.port
        carried = _carried(draft, uniform) if not guarded else None
        source = roots.setdefault(id(carried), _new(kept)) if carried is not None else None
        for value in draft.writes():
            roots.pop(id(value), None)
            if source is not None:
                roots[id(value)] = source
        if draft.handler.startswith(FORGET):
            roots.clear()
            leaders.clear()
        guarded = draft.handler == "guarded"


def _new(kept: list[object]) -> object:
    kept.append(object())
    return kept[-1]


def _carried(draft: Draft, uniform: _Uniform) -> Value | None:
    """The source whose distances between lanes the result keeps."""
    if draft.handler in CARRIES or draft.handler in SUBTRACTIONS:
        if draft.b is None:
            return draft.a
        if draft.b in uniform:
            return draft.a
        if draft.handler in CARRIES and draft.a is not None and draft.a in uniform:
            return draft.b
    return None
