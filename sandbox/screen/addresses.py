"""What a kernel may learn of where its buffers lie: their alignment, and nothing else.

Addresses differ from one device to the next and from the emulator's, so code that depends on them is code that no run
can vouch for. An address may be added to, handed on and accessed; its low bits may be tested, since every launcher
keeps the same alignment; two addresses into one buffer may be compared or subtracted. Anything else that looks at an
address's bits is refused. Where shared variables lie is the block's own affair, and descriptors are made of it: such
addresses may be computed with, but decide nothing. What `createpolicy` gives is the hardware's own affair in the same
way: it may be handed to an access as its `L2::cache_hint`, and that is all.

A register holds what any instruction may put into it, whatever the order. Source of the instructions: PTX ISA 9.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from warpsmith.sandbox.emulator.program import (
    Address,
    Entry,
    Immediate,
    Instr,
    Not,
    Operand,
    Pair,
    Register,
    Symbol,
    Vector,
)

LOW = 256
"""Bytes that launchers align buffers to: address bits below this may be looked at."""
_LOW_ONLY = frozenset(("or", "xor", "not", "neg", "shl", "mul", "mad", "lop3", "addc", "subc", "and", "add", "sub"))
"""Their result's low bits depend on their operands' low bits alone."""
_MOVES = frozenset(("mov", "cvta", "selp", "cvt", "mapa"))
_FREE = frozenset(("isspacep", "prefetch", "prefetchu", "bra", "brx", "ret", "exit"))
_FLOATS = frozenset(("f16", "bf16", "f32", "f64", "f16x2", "bf16x2"))
_STORES = frozenset(("st", "stmatrix", "red", "atom"))
_POLICY = "a cache policy"
_POLICY_REMEDY = "Only the hardware knows what they mean: hand it to an access with `L2::cache_hint`, and nothing else."
_REMEDY = (
    "Where buffers lie differs between devices: decide by sizes and indices. Alignment may be tested: "
    "`(size_t)pointer % 16 == 0`."
)


@dataclass(frozen=True, slots=True)
class AddressProblem:
    message: str
    line: int


@dataclass(frozen=True, slots=True)
class _Held:
    """What a register may hold of addresses."""

    bases: frozenset[str]
    """Names of what the addresses lie in; empty: nothing of an address."""
    exact: bool = True
    """An address as it is, or moved by something; False: something else computed from its bits."""

    def __or__(self, other: _Held) -> _Held:
        if not other.bases:
            return self
        if not self.bases:
            return other
        return _Held(self.bases | other.bases, self.exact and other.exact)

    @property
    def far(self) -> bool:
        """Whether it is of global memory."""
        return not self.bases <= _NEAR

    @property
    def bits(self) -> _Held:
        return _Held(self.bases, exact=False) if self.bases else self


_FRAMES = {"shared": "shared memory", "local": "local memory"}
_NEAR = frozenset(_FRAMES.values())
_NOTHING = _Held(frozenset())


def check_addresses(entry: Entry, pointers: Mapping[int, str], *, typed: bool = False) -> AddressProblem | None:
    """The first instruction that looks at what an address is.

    Args:
        entry: Of the compiled code.
        pointers: Name of the tensor or buffer by the byte offset of the parameter that points to it.
        typed: The language lets nobody read a pointer back from memory as something narrower, as Triton does, whose
            compiler exchanges pointers through shared memory.
    """
    flow = _Flow(entry, pointers, typed)
    for instr in entry.instructions:
        held = flow.misused(instr)
        if held is not None and _POLICY in held.bases:
            return AddressProblem(f"`{instr.text}` looks at the bits of {_POLICY}. {_POLICY_REMEDY}", instr.line)
        if held is not None:
            names = " and ".join(sorted(held.bases))
            return AddressProblem(f"`{instr.text}` looks at the address of {names}. {_REMEDY}", instr.line)
    return None


class _Flow:
    """For each register what it may hold, as a fixed point over the instructions."""

    def __init__(self, entry: Entry, pointers: Mapping[int, str], typed: bool) -> None:
        self.pointers, self.typed = pointers, typed
        self.params = {param.name: param.offset for param in entry.params}
        self.variables = {item.name: _FRAMES.get(item.space, item.name) for item in entry.variables}
        self.held: dict[int, _Held] = {}
        self.kept = dict.fromkeys(_FRAMES, _NOTHING)
        """What local and shared memory may hold."""
        self.exposed = False
        """Whether a parameter's own address is taken, so that it may be read through a register."""
        changed = True
        while changed:
            changed = False
            for instr in entry.instructions:
                changed |= self._pass_on(instr)

    def of(self, operand: Operand) -> _Held:
        match operand:
            case Register(index=index) | Not(register=Register(index=index)):
                return self.held.get(index, _NOTHING)
            case Vector(items=items):
                return self._all(items)
            case Pair(first=first, second=second):
                return self._all((first, second))
            case Symbol(name=name) if name in self.variables:
                return _Held(frozenset((self.variables[name],)))
            case Address(base=base):
                return self.of(base)
            case _:
                return _NOTHING

    def misused(self, instr: Instr) -> _Held | None:
        """What an instruction looks at and must not."""
        data = self._all(operand for operand in _data(instr)[1:] if not isinstance(operand, Address))
        if instr.opcode in _STORES:
            return self._stored(instr)
        if _POLICY in data.bases:
            kept = instr.opcode in ("mov", "selp") and not isinstance(instr.operands[0], Vector)
            return None if kept else data
        if not data.bases or instr.opcode in _FREE:
            return self._addressed(instr)
        if instr.opcode in ("setp", "set"):
            return None if self._comparable(instr) else data
        if _FLOATS & set(instr.modifiers) and instr.opcode == "cvt":
            return data
        if not data.far:
            return None
        if instr.opcode == "mov" and isinstance(instr.operands[0], Vector):
            return data
        harmless = instr.opcode in _MOVES or (instr.opcode in _LOW_ONLY and "hi" not in instr.modifiers)
        return None if harmless else data

    def _addressed(self, instr: Instr) -> _Held | None:
        """An access at something made of an address's bits."""
        for operand in instr.operands:
            if isinstance(operand, Address):
                held = self.of(operand)
                if held.far and not held.exact:
                    return held
        return None

    def _stored(self, instr: Instr) -> _Held | None:
        """A store of an address, but for one kept whole in memory of the block's own."""
        operands = _data(instr)[1:] if instr.opcode == "atom" else _data(instr)
        data = self._all(operand for operand in operands if not isinstance(operand, Address))
        whole = instr.opcode == "st" and _frame(instr) and _width(instr) == 64 and data.exact
        return data if data.far and not whole else self._addressed(instr)

    def _comparable(self, instr: Instr) -> bool:
        """Addresses into one buffer, or one address and null."""
        first, second = instr.operands[1:3]
        left, right = self.of(first), self.of(second)
        if any(isinstance(item, Immediate) and not item.bits for item in (first, second)):
            return (left | right).exact
        return left.exact and right.exact and left.bases == right.bases and len(left.bases) == 1

    def _pass_on(self, instr: Instr) -> bool:
        self.exposed |= instr.opcode in ("mov", "cvta") and any(
            isinstance(operand, Symbol) and operand.name in self.params for operand in instr.operands[1:]
        )
        if instr.opcode == "createpolicy":
            return self._keep(instr.operands[0], _Held(frozenset((_POLICY,))))
        frame = _frame(instr)
        if instr.opcode == "st" and frame:
            before = self.kept[frame]
            self.kept[frame] |= self._all(operand for operand in _data(instr) if not isinstance(operand, Address))
            return self.kept[frame] != before
        if len(instr.operands) < 2 or instr.opcode in (*_STORES, "setp", "set", "isspacep"):
            return False
        if instr.opcode in ("ld", "ldu"):
            return self._load(instr)
        return self._keep(instr.operands[0], self._result(instr))

    def _load(self, instr: Instr) -> bool:
        target, source = instr.operands[0], instr.operands[1]
        targets = target.items if isinstance(target, Vector) else (target,)
        width, changed = _width(instr), False
        for number, item in enumerate(targets):
            changed |= self._keep(item, self._loaded(instr, source, number * width // 8, width))
        return changed

    def _loaded(self, instr: Instr, source: Operand, at: int, width: int) -> _Held:
        found = _NOTHING
        everything = _Held(frozenset(self.pointers.values()))
        if "param" in instr.modifiers:
            match source:
                case Address(base=Symbol(name=name, offset=inner), offset=outer) if name in self.params:
                    start = self.params[name] + inner + outer + at
                    inside = {
                        name for offset, name in self.pointers.items() if offset < start + width // 8 <= offset + 8
                    }
                    found = _Held(frozenset(inside), exact=width == 64 and start in self.pointers)
                case Address(base=Symbol()):
                    pass
                case _:
                    found = everything
        elif frame := _frame(instr):
            found = self.kept[frame] if width == 64 or not self.typed else _NOTHING
        elif self.exposed and not {"global", "const"} & set(instr.modifiers):
            found = everything
        return found if width == 64 else found.bits

    def _result(self, instr: Instr) -> _Held:
        sources = [self.of(item) for item in instr.operands[1:] if not isinstance(item, Address)]
        data = _union(sources)
        if not data.bases:
            return data
        match instr.opcode:
            case "and" if (mask := _mask(instr)) is not None:
                if mask < LOW:
                    return _NOTHING
                return data if mask >= 2**64 - LOW else data.bits
            case "mov" | "cvta" | "selp" | "mapa":
                narrow = {"b32", "u32", "s32"} & set(instr.modifiers) and data.far
                return data.bits if narrow else data
            case "cvt":
                return data if not data.far and "u64" in instr.modifiers else data.bits if data.far else data
            case "add":
                return data if sum(bool(item.bases) for item in sources) == 1 else data.bits
            case "sub":
                left, right = sources
                if left.exact and right.exact and left.bases == right.bases and len(left.bases) == 1:
                    return _NOTHING
                return data if left.bases and not right.bases else data.bits
            case "mad" | "fma":
                return data if not sources[0].bases and not sources[1].bases else data.bits
        return data.bits

    def _keep(self, target: Operand, held: _Held) -> bool:
        changed = False
        for register in _registers(target):
            before = self.held.get(register.index, _NOTHING)
            after = before | held
            if after != before:
                self.held[register.index] = after
                changed = True
        return changed

    def _all(self, operands: Iterable[Operand]) -> _Held:
        return _union(self.of(operand) for operand in operands)


def _data(instr: Instr) -> tuple[Operand, ...]:
    """The operands, without the cache policy that is handed to an access."""
    return instr.operands[:-1] if "L2::cache_hint" in instr.modifiers else instr.operands


def _union(items: Iterable[_Held]) -> _Held:
    found = _NOTHING
    for item in items:
        found |= item
    return found


def _frame(instr: Instr) -> str:
    """The space of the block's or the thread's own that an access names."""
    return next((space for word in instr.modifiers if (space := word.partition("::")[0]) in _FRAMES), "")


def _mask(instr: Instr) -> int | None:
    """The constant of an `and`, at 64 bits."""
    for operand in instr.operands[1:]:
        if isinstance(operand, Immediate):
            return operand.bits if "b64" in instr.modifiers else operand.bits & 0xFFFF_FFFF
    return None


def _width(instr: Instr) -> int:
    word = instr.modifiers[-1] if instr.modifiers else ""
    digits = word.lstrip("abfsu")
    return int(digits) if digits.isdigit() else 0


def _registers(operand: Operand) -> Iterator[Register]:
    match operand:
        case Register():
            yield operand
        case Vector(items=items):
            for item in items:
                yield from _registers(item)
        case Pair(first=first, second=second):
            yield from _registers(first)
            yield from _registers(second)
