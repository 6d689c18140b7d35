"""Registers that are read before anything wrote them: followed while the kernel runs, and a fault where they matter.

PTX may read such a register on purpose: a compiler leaves an operand open where no execution uses the result. So a read
alone is no fault. Each register that could be one of these, and each that is computed from one, gets a mark beside it
that says lane by lane whether its value is known; an address, a predicate that decides, or a value stored in shared or
global memory must be. Values that come through other lanes count as known; a matrix product knows what its own lane's
operands know. Kernels in which every register is written before it is read, on every path, pay nothing.
"""

from __future__ import annotations

from warpsmith.sandbox.emulator.bytecode import Constant, Draft, DraftBlock, DraftProgram, SlotKind, Space, Value

_GUARDS = ("guarded", "split")
_CARRIES = ("lane.", "copy", "extend64", "truncate32", "add64", "perturb", "mma.", "product.")
_DECIDES = ("branch_if", "exit_if", "branch_indexed", *_GUARDS)
_STORES = ("st.global", "st.shared", "st.any", "atom.", "cp.async", "wmma.store", "stmatrix")


def mark_definedness(program: DraftProgram, unwritten: list[Value]) -> bool:
    """Insert marks, and what checks them, for values that some path may read before it writes them.

    False where it cannot be done: the entry's first block is also a loop's.
    """
    if any(0 in block.successors for block in program.blocks):
        return False
    _Marks(program.blocks, unwritten, program.constants).insert()
    return True


class _Marks:
    def __init__(self, blocks: list[DraftBlock], roots: list[Value], constants: list[Value]) -> None:
        self.blocks = blocks
        self.roots = roots
        self.marks = {id(value): Value(4) for value in roots}
        self.kept = list(roots)
        self.constants = constants
        self.bits: dict[int, Value] = {}
        self._spread()

    def _spread(self) -> None:
        """Give a mark to everything that is computed from what has one."""
        size = -1
        while len(self.marks) != size:
            size = len(self.marks)
            for draft in (draft for block in self.blocks for draft in block.operations):
                if draft.handler.startswith(_CARRIES) and self._marked(draft):
                    for value in draft.writes():
                        if id(value) not in self.marks:
                            self.marks[id(value)] = Value(4)
                            self.kept.append(value)

    def _marked(self, draft: Draft) -> list[Value]:
        """Marks of what an operation reads."""
        return list(
            {id(value): self.marks[id(value)] for value in draft.operands() if id(value) in self.marks}.values()
        )

    def insert(self) -> None:
        for index, block in enumerate(self.blocks):
            operations = [] if index else [self._set(0, value, 0) for value in self.roots]
            guard: Draft | None = None
            for draft in block.operations:
                if draft.handler in _GUARDS:
                    operations += self._checks(draft, None)
                    guard = draft
                    continue
                operations += self._checks(draft, guard) + self._updates(draft, guard)
                operations += [draft] if guard is None else [guard, draft]
                guard = None
            block.operations = operations

    def _checks(self, draft: Draft, guard: Draft | None) -> list[Draft]:
        """Operations that demand what the draft must know."""
        demanded: list[Value | int | None] = []
        if draft.handler in _DECIDES:
            demanded = [draft.a]
        elif draft.handler.startswith(_STORES):
            # A thread's own memory may hold what nobody uses: the padding of a structure.
            own = draft.handler.startswith("st.any") and draft.bytes == Space.LOCAL
            written = {id(value) for value in draft.written}
            items = [item for item in draft.items if id(item) not in written]
            demanded = [draft.a] if own else [draft.a, draft.b, draft.c, draft.e, *items]
        elif draft.handler.startswith(("ld.", "ldmatrix", "st.")):
            demanded = [draft.a]
        elif draft.handler == "wmma.load":
            demanded = [draft.a, draft.b]
        known = {id(value): value for value in demanded if isinstance(value, Value) and id(value) in self.marks}
        return [
            item
            for value in known.values()
            for item in self._under(guard, Draft("defined", draft.site, a=self.marks[id(value)]))
        ]

    def _updates(self, draft: Draft, guard: Draft | None) -> list[Draft]:
        """Operations that mark what the draft writes."""
        targets = [value for value in draft.writes() if id(value) in self.marks]
        if not targets:
            return []
        sources = self._marked(draft) if draft.handler.startswith(_CARRIES) else []
        if draft.handler.startswith("lane.selp.") and isinstance(draft.c, Value):
            return self._selected(draft, guard, targets[0])
        found: list[Draft] = []
        for value in targets:
            total: Value = sources[0] if sources else self._bit(1)
            for mark in sources[1:]:
                both = Value(4)
                found.append(Draft("lane.and.pred", draft.site, d=both, a=total, b=mark))
                total = both
            found += self._under(guard, Draft("copy32", draft.site, d=self.marks[id(value)], a=total))
        return found

    def _selected(self, draft: Draft, guard: Draft | None, target: Value) -> list[Draft]:
        """A selection knows what the operand it takes knows."""
        a, b, c = (self.marks.get(id(value), self._bit(1)) for value in (draft.a, draft.b, draft.c))
        taken, both = Value(4), Value(4)
        return [
            Draft("lane.selp.b32", draft.site, d=taken, a=a, b=b, c=draft.c),
            Draft("lane.and.pred", draft.site, d=both, a=taken, b=c),
            *self._under(guard, Draft("copy32", draft.site, d=self.marks[id(target)], a=both)),
        ]

    def _set(self, site: int, value: Value, bit: int) -> Draft:
        return Draft("copy32", site, d=self.marks[id(value)], a=self._bit(bit))

    def _under(self, guard: Draft | None, draft: Draft) -> list[Draft]:
        """The draft, for the lanes that the guard lets through."""
        if guard is None:
            return [draft]
        draft.partial = True
        return [Draft("guarded", draft.site, a=guard.a, flags=guard.flags), draft]

    def _bit(self, bit: int) -> Value:
        if bit not in self.bits:
            constant = Constant(SlotKind.IMMEDIATE, bits=bit)
            same = next((v for v in self.constants if v.width == 4 and v.constant == constant), None)
            self.bits[bit] = same or Value(4, constant)
            if same is None:
                self.constants.append(self.bits[bit])
        return self.bits[bit]
