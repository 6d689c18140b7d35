"""Integer expressions of kernel files and tasks: 64-bit, checked, without side effects.

Division and remainder round down, as in Python; comparisons and `and or not` give 0 or 1, and `and`/`or` stop early,
so `G > 0 and K % G == 0` never divides by zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

from warpsmith.core.errors import KernelFileError
from warpsmith.core.expression_syntax import LONGEST, Parser
from warpsmith.core.expression_tree import INT64_MAX, INT64_MIN, Call, Chain, Literal, Name, Node, Size, Unary
from warpsmith.core.nearest import did_you_mean

_NOTHING: Mapping[str, int] = MappingProxyType({})

_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression and where it stands in its file."""

    text: str
    root: Node = field(repr=False)
    line: int = 0
    column: int = 0
    """Of its first character, from 1; 0 where unknown."""
    names: frozenset[str] = frozenset()
    """Names it reads, without those inside `size()`."""
    sized: frozenset[str] = frozenset()
    """Tensors and buffers inside `size()`."""

    @classmethod
    def parse(cls, text: str, *, line: int = 0, column: int = 0) -> Expression:
        """Parse `text`; a KernelFileError names what is refused, its column, and what to write instead."""
        return _parsed(text, line, column)

    def evaluate(self, env: Mapping[str, int], sizes: Mapping[str, int] = _NOTHING) -> int:
        """Compute the value with names from `env` and bytes per element from `sizes`.

        Raises KernelFileError naming the unknown name, the division by zero or the value outside 64 bits.
        """
        return _Evaluation(self, env, sizes).value(self.root)

    def fail(self, message: str, remedy: str = "", offset: int = 0) -> KernelFileError:
        """Make the error that points at a character of this expression."""
        return _failure(self.text, self.line, self.column, message, remedy, offset)


@lru_cache(maxsize=4096)
def _parsed(text: str, line: int, column: int) -> Expression:
    """Shapes and constraints of a task are asked for at every workload, in the same few words."""

    def fail(message: str, remedy: str, offset: int) -> KernelFileError:
        return _failure(text, line, column, message, remedy, offset)

    if len(text) > LONGEST:
        short = f"{text[:40]}..."
        message = f"The expression has {len(text)} characters; at most {LONGEST} are allowed."
        raise _failure(short, line, column, message, "Name parts of it under [let].", 0)
    root = Parser(text, fail).parse()
    names: set[str] = set()
    sized: set[str] = set()
    _collect(root, names, sized)
    return Expression(text, root, line, column, frozenset(names), frozenset(sized))


def _failure(text: str, line: int, column: int, message: str, remedy: str, offset: int) -> KernelFileError:
    shown = " ".join(text.split())
    place = column + offset if column else 0
    return KernelFileError(f"In `{shown}`: {message}", remedy=remedy, line=line, column=place)


def _collect(node: Node, names: set[str], sized: set[str]) -> None:
    match node:
        case Name(name):
            names.add(name)
        case Size(name):
            sized.add(name)
        case Call(_, arguments):
            for argument in arguments:
                _collect(argument, names, sized)
        case Unary(_, operand):
            _collect(operand, names, sized)
        case Chain(first, rest):
            _collect(first, names, sized)
            for _, operand, _ in rest:
                _collect(operand, names, sized)
        case Literal():
            pass


@dataclass(frozen=True, slots=True)
class _Evaluation:
    expression: Expression
    env: Mapping[str, int]
    sizes: Mapping[str, int]

    def value(self, node: Node) -> int:
        match node:
            case Literal(value):
                return value
            case Name(name, offset):
                if name not in self.env:
                    raise self.expression.fail(f"`{name}` is unknown.", did_you_mean(name, self.env), offset)
                return self._checked(self.env[name], name, offset)
            case Size(name, offset):
                if name not in self.sizes:
                    message = f"`{name}` in `size({name})` is neither a tensor nor a buffer."
                    raise self.expression.fail(message, did_you_mean(name, self.sizes), offset)
                return self.sizes[name]
            case Call(function, arguments, offset):
                return self._call(function, [self.value(argument) for argument in arguments], offset)
            case Unary("not", operand):
                return int(self.value(operand) == 0)
            case Unary(_, operand, offset):
                return self._checked(-self.value(operand), "-", offset)
            case Chain(first, rest) if rest[0][0] in ("and", "or"):
                return self._logic(first, rest)
            case Chain(first, rest) if rest[0][0] in _COMPARISONS:
                return self._comparison(first, rest)
            case Chain(first, rest):
                result = self.value(first)
                for operator, operand, offset in rest:
                    result = self._arithmetic(operator, result, self.value(operand), offset)
                return result

    def _logic(self, first: Node, rest: tuple[tuple[str, Node, int], ...]) -> int:
        stops_at = rest[0][0] == "or"
        for operand in (first, *(operand for _, operand, _ in rest)):
            if bool(self.value(operand)) == stops_at:
                return int(stops_at)
        return int(not stops_at)

    def _comparison(self, first: Node, rest: tuple[tuple[str, Node, int], ...]) -> int:
        left = self.value(first)
        for operator, operand, _ in rest:
            right = self.value(operand)
            if not _COMPARISONS[operator](left, right):
                return 0
            left = right
        return 1

    def _arithmetic(self, operator: str, left: int, right: int, offset: int) -> int:
        if operator in ("//", "%"):
            self._nonzero(right, operator, left, offset)
            return self._checked(left // right if operator == "//" else left % right, operator, offset)
        result = left + right if operator == "+" else left - right if operator == "-" else left * right
        return self._checked(result, operator, offset)

    def _call(self, function: str, values: list[int], offset: int) -> int:
        first = values[0]
        match function:
            case "min":
                return min(values)
            case "max":
                return max(values)
            case "cdiv" | "align":
                divisor = values[1]
                self._nonzero(divisor, function, first, offset)
                quotient = -(-first // divisor)
                return self._checked(quotient * divisor if function == "align" else quotient, function, offset)
            case "pow2ceil":
                return self._checked(1 << max(first - 1, 0).bit_length(), function, offset)
            case _:
                if first < 1:
                    raise self.expression.fail(f"`ilog2` of {first} does not exist.", "It takes 1 or more.", offset)
                return first.bit_length() - 1

    def _nonzero(self, divisor: int, what: str, dividend: int, offset: int) -> None:
        if divisor == 0:
            message = f"`{what}` divides {dividend} by zero."
            raise self.expression.fail(message, "Guard it: `max(x, 1)`, or `x > 0 and ...`.", offset)

    def _checked(self, value: int, what: str, offset: int) -> int:
        if not INT64_MIN <= value <= INT64_MAX:
            shown = value if value.bit_length() < 200 else f"a value of {value.bit_length()} bits"
            raise self.expression.fail(f"`{what}` gives {shown}, outside 64-bit integers.", "", offset)
        return value
