"""The sizes that a kernel file names: one at which it may do something else.

`M == 345 ? 0.0f : y` and `when = "M == 345"` are right at every size that is drawn by chance. What the launch plan and
the compiled code compare or add sizes with comes first; a template may also test a size before anything is compiled, so
every whole number of the source counts, after those.
"""

from __future__ import annotations

import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import StringIO

from warpsmith.core.expression import Expression
from warpsmith.core.kernel_file import KernelFile
from warpsmith.core.kernel_file.lexer import lex
from warpsmith.sandbox.analysis.decisions import UniformProgram
from warpsmith.sandbox.emulator.isa.number import signed
from warpsmith.sandbox.emulator.program import Entry, Immediate

LARGEST = 1 << 24
"""No size of a workload that is emulated is larger."""
_WHOLE = re.compile(r"(?<![\w.])(0[xX][0-9a-fA-F]+|[0-9]+)[uUlL]*(?![\w.])")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers that may be sizes."""

    compared: frozenset[int] = frozenset()
    """In the launch plan, or beside what depends on the launch alone."""
    others: frozenset[int] = frozenset()
    """Anywhere else in the source."""

    @property
    def all(self) -> frozenset[int]:
        """Wherever they stand."""
        return self.compared | self.others

    @classmethod
    def of(cls, kernel: KernelFile, in_code: Iterable[int]) -> Sizes:
        """Of a kernel file, and what its code compares with sizes."""
        compared = {*in_code, *(size for item in _expressions(kernel) for size in _literals(item.text))}
        return cls(frozenset(compared), _in_source(kernel.text, kernel.language) - compared)


@lru_cache(maxsize=8)
def _in_source(text: str, language: str) -> frozenset[int]:
    numbers = _of_python(text) if language == "triton" else _of_cpp(text)
    return frozenset(size for number in numbers for size in _literals(number))


def _of_cpp(text: str) -> Iterator[str]:
    source = lex(text)
    for line in (source.tokens, *source.directives):
        yield from (token.text for token in line if token.kind == "number")


def _of_python(text: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(StringIO(text).readline):
        if token.type == tokenize.NUMBER:
            yield token.string


def _literals(text: str) -> Iterator[int]:
    for found in _WHOLE.finditer(text):
        digits = found[1]
        value = int(digits, 16 if digits[:2].lower() == "0x" else 10)
        if value < LARGEST:
            yield value


def compared_with_sizes(entry: Entry) -> Iterator[int]:
    """Immediates of instructions whose other operands depend on the launch alone."""
    for position in UniformProgram.of(entry).positions:
        for operand in entry.instructions[position].operands:
            if isinstance(operand, Immediate) and operand.type in ("s64", "u64"):
                size = abs(signed(operand.bits, 64))
                if size < LARGEST:
                    yield size


def _expressions(kernel: KernelFile) -> Iterator[Expression]:
    yield from kernel.let.values()
    if kernel.requires is not None:
        yield kernel.requires
    for step in kernel.steps:
        yield from (item for item in (step.when, getattr(step, "repeat", None)) if item is not None)
    for launch in kernel.launches:
        yield from (*launch.grid, *launch.block, *launch.options.values())
        yield from (item.expression for item in launch.arguments)
