"""Random well-formed PTX programs: straight code, divergent branches, bounded loops, barriers, all kinds of memory.

A program is a tree whose every part can be left out, which is how a disagreement is made small. It has no race, reads
nothing that nobody wrote and ends, so that any fault is a disagreement too.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from .frame import DUMP, epilogue, prologue
from .lane_instructions import compound_instruction, lane_instruction
from .places import OWN, SLOT_BYTES, SLOTS, Shape
from .registers import POOLS, declarations, register
from .warp_instructions import access, atomic, contended, copy, exchange, matrix, meeting

SHAPES = (Shape(1, 32), Shape(2, 20), Shape(1, 48), Shape(2, 64))
MAX_DEPTH = 3


@dataclass(frozen=True)
class Part:
    """Text with parts between; a part may stand alone."""

    texts: tuple[str, ...]
    insides: tuple[tuple[Part, ...], ...] = ()
    """One between each two texts."""

    def render(self) -> str:
        found = [self.texts[0]]
        for inside, text in zip(self.insides, self.texts[1:], strict=True):
            found += [part.render() for part in inside]
            found.append(text)
        return "\n".join(found)

    def smaller(self) -> Iterator[Part]:
        """The same with some of what is inside left out: first half of a list, then single parts."""
        for at, inside in enumerate(self.insides):
            for kept in _shorter(inside):
                yield Part(self.texts, (*self.insides[:at], kept, *self.insides[at + 1 :]))


def _shorter(parts: tuple[Part, ...]) -> Iterator[tuple[Part, ...]]:
    size = len(parts)
    while size:
        for start in range(0, len(parts), size):
            yield parts[:start] + parts[start + size :]
        size //= 2
    for at, part in enumerate(parts):
        for kept in part.smaller():
            yield (*parts[:at], kept, *parts[at + 1 :])


@dataclass(frozen=True)
class Program:
    seed: int
    shape: Shape
    body: Part

    @property
    def out_bytes(self) -> int:
        threads = self.shape.grid * self.shape.threads
        return threads * (OWN + DUMP) + SLOTS * SLOT_BYTES * (1 + self.shape.grid)

    @property
    def text(self) -> str:
        shared = self.shape.shared_slots() + SLOTS * SLOT_BYTES
        table = ", ".join(str(x % 256) for x in range(0, 37 * OWN, 37))
        return (
            f".version 9.0\n.target sm_90a\n.address_size 64\n.const .align 16 .b8 table[{OWN}] = {{{table}}};\n"
            f".visible .entry k(.param .u64 k_0, .param .u64 k_1, .param .u64 k_2)\n{{\n"
            f".shared .align 16 .b8 window[{shared}];\n.local .align 16 .b8 depot[{OWN}];\n{declarations()}\n"
            f"{self.body.render()}\n}}\n"
        )


@dataclass
class Writer:
    """Writes one program."""

    rng: random.Random
    shape: Shape
    labels: int = 0

    def program(self, seed: int) -> Program:
        parts = self.parts(self.rng.randrange(4, 30), depth=0)
        body = Part((prologue(self.shape), epilogue(self.shape)), (parts,))
        return Program(seed, self.shape, body)

    def parts(self, count: int, depth: int) -> tuple[Part, ...]:
        return tuple(self.part(depth) for _ in range(count))

    def part(self, depth: int) -> Part:
        rng, mask = self.rng, f"%m{depth}"
        kind = rng.randrange(20)
        if depth < MAX_DEPTH and kind == 0:
            return self.loop(depth)
        if depth < MAX_DEPTH and kind <= 2:
            return self.choice(depth)
        if kind <= 5:
            return Part((access(rng),))
        if kind == 6:
            return Part((atomic(rng),))
        if kind == 7:
            return Part((contended(rng),))
        if kind <= 9:
            return Part((exchange(rng, mask, whole=self.shape.whole),))
        if kind == 10:
            return Part((copy(rng),))
        if depth == 0 and kind == 11:
            return Part((meeting(rng, self.shape),))
        if depth == 0 and kind == 12 and self.shape.whole:
            return Part((matrix(rng),))
        return Part((compound_instruction(rng) if kind == 13 else lane_instruction(rng),))

    def choice(self, depth: int) -> Part:
        """if … else …, or a switch of two: each side knows its lanes."""
        rng, inner, outer = self.rng, f"%m{depth + 1}", f"%m{depth}"
        self.labels += 1
        other, end, guard = f"ELSE{self.labels}", f"END{self.labels}", f"%q{depth}"
        first = (
            f"mov.pred {guard}, {register(rng, 1)}; vote.sync.ballot.b32 {inner}, {guard}, {outer};\n"
            f"@!{guard} bra {other};"
        )
        second = f"bra {end};\n{other}: not.b32 {inner}, {inner}; and.b32 {inner}, {inner}, {outer};"
        if rng.randrange(3) == 0:
            return Part((first, f"{other}:"), (self.parts(rng.randrange(1, 5), depth + 1),))
        sides = tuple(self.parts(rng.randrange(1, 5), depth + 1) for _ in range(2))
        return Part((first, second, f"{end}:"), sides)

    def loop(self, depth: int) -> Part:
        """At most four rounds, as many for every lane or not."""
        rng, inner = self.rng, f"%m{depth + 1}"
        self.labels += 1
        head, end, guard, counter, trips = (
            f"LOOP{self.labels}",
            f"OUT{self.labels}",
            f"%q{depth}",
            f"%i{depth}",
            f"%t{depth}",
        )
        bound = f"mov.b32 {trips}, {rng.randrange(1, 5)};"
        if rng.randrange(2):
            bound = f"and.b32 {trips}, %r{rng.randrange(POOLS['r'][1])}, 3; add.u32 {trips}, {trips}, 1;"
        first = (
            f"{bound} mov.b32 {counter}, 0; mov.b32 {inner}, %m{depth};\n"
            f"{head}: setp.lt.u32 {guard}, {counter}, {trips}; vote.sync.ballot.b32 {inner}, {guard}, {inner};\n"
            f"@!{guard} bra {end};"
        )
        second = f"add.u32 {counter}, {counter}, 1; bra {head};\n{end}:"
        return Part((first, second), (self.parts(rng.randrange(1, 6), depth + 1),))


def random_program(seed: int) -> Program:
    rng = random.Random(f"program {seed}")
    return Writer(rng, rng.choice(SHAPES)).program(seed)
