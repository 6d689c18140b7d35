"""Expressions for everything a problem's task says in terms of its sizes: shapes, work, constraints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import prod

from warpsmith.core.errors import TaskError
from warpsmith.tasks.importers.kernelbench.facts import Facts, Names, dtype_name, itemsize
from warpsmith.tasks.importers.kernelbench.fit import Sample, factored, fit
from warpsmith.tasks.importers.kernelbench.probe import Seen, Shape


class Texts:
    """Expressions of every shape, and what follows from them."""

    def __init__(self, facts: Facts, names: Names) -> None:
        self.facts, self.names = facts, names
        self.free = [names.dims[name] for name in facts.domain.free]
        self.fixed = [names.dims[name] for name in facts.domain.fixed]
        found: list[tuple[dict[str, int], Seen]] = []
        for sizes in facts.domain.samples:
            seen = facts.probe.at(sizes)
            if isinstance(seen, Seen):
                found.append(({names.dims[name]: sizes[name] for name in facts.domain.free}, seen))
        self.samples = found
        self.shapes: dict[str, str] = {}
        self.counts: dict[str, str] = {}
        for index, name in enumerate(names.arguments):
            if name:
                self._shape(name, _argument(index))
        for name, path in names.state.items():
            self._shape(name, _state(path))
        for index, name in enumerate(names.outputs):
            self._shape(name, _output(index))
        self.inputs = "".join(self._input(name) for name in (*(n for n in names.arguments if n), *names.state))
        self.outputs = "".join(
            f'        Output("{name}", {self.shapes[name]}, "{self._dtype(name)}"),\n' for name in names.outputs
        )
        self.flops = self._flops()
        self.bytes = self._bytes()
        self.constraints = self._constraints()

    def _shape(self, name: str, of: Callable[[Seen], Shape]) -> None:
        shapes = [(sizes, of(seen)) for sizes, seen in self.samples]
        texts = [self._extent(name, axis, shapes) for axis in range(len(shapes[0][1]))]
        self.shapes[name] = python_tuple([f'"{text}"' for text in texts])
        self.counts[name] = factored(texts)

    def _extent(self, name: str, axis: int, shapes: Sequence[tuple[dict[str, int], Shape]]) -> str:
        samples = [Sample(sizes, shape[axis]) for sizes, shape in shapes if axis < len(shape)]
        text = fit(samples, self.free) if len(samples) == len(shapes) else None
        if text is None:
            some = ", ".join(f"{sample.value} at {dict(sample.sizes)}" for sample in samples[:2])
            raise TaskError(
                f"{self.facts.source.path}: dimension {axis} of {name} is no known expression of the sizes: {some}.",
                remedy="Write the task by hand: `warpsmith tasks new`.",
            )
        return text

    def _dtype(self, name: str) -> str:
        kinds, names = self.facts.kinds, self.names
        if name in names.state:
            return dtype_name(kinds.state[names.state[name]], name)
        if name in names.arguments:
            return dtype_name(kinds.arguments[names.arguments.index(name)], name)
        return dtype_name(kinds.outputs[names.outputs.index(name)], name)

    def _input(self, name: str) -> str:
        names, said = self.names, ""
        known = names.state[name] if name in names.state else names.arguments.index(name)
        if name in names.state:
            said += ", role=Role.STATIC"
        if known in self.facts.unordered:
            said += ", unordered=True"
        return f'        Tensor("{name}", {self.shapes[name]}, "{self._dtype(name)}"{said}),\n'

    def _flops(self) -> list[str]:
        """Multiply-adds of the products, or one operation an element read.

        Where a product gives more than the task's results hold, something sums it up, and algebra may save most of it:
        it does not count. Of a triangular operand's product half counts, of a diagonal one's nothing.
        """
        counts = {len(seen.products) for _, seen in self.samples}
        home = self.facts.probe.at(self.facts.domain.file)
        assert isinstance(home, Seen)
        held = sum(prod(shape) for shape in home.outputs)
        terms: Counter[str] = Counter()
        for number in range(counts.pop() if len(counts) == 1 else 0):
            shapes = [(sizes, seen.products[number].extents) for sizes, seen in self.samples]
            divisor = self.facts.divisors[number] if self.facts.divisors else 1
            if not divisor or home.products[number].results > held or len({len(shape) for _, shape in shapes}) != 1:
                continue
            axes = range(len(shapes[0][1]))
            texts = [fit([Sample(sizes, shape[axis]) for sizes, shape in shapes], self.free) for axis in axes]
            if None not in texts:
                whole = factored(["2", *(text for text in texts if text is not None)])
                terms[f"{whole} // {divisor}" if divisor > 1 else whole] += 1
        if not terms:
            return [self.counts[name] for name in self.names.arguments if name] or ["0"]
        return [text if times == 1 else f"{times} * ({text})" for text, times in terms.items()]

    def _bytes(self) -> list[str]:
        """Of every tensor once."""
        return [
            f"{itemsize(self._dtype(name))} * {count if ' + ' not in count else f'({count})'}  # {name}"
            for name, count in self.counts.items()
        ]

    def _constraints(self) -> list[str]:
        found = []
        for name, allowed in self.facts.domain.free.items():
            dim = self.names.dims[name]
            found.append(f"{dim} >= {allowed.low}")
            if allowed.step > 1:
                found.append(f"{dim} % {allowed.step} == 0")
        return found + [
            f"{self.names.dims[name]} == {self.facts.domain.file[name]}" for name in self.facts.domain.fixed
        ]


def _argument(index: int) -> Callable[[Seen], Shape]:
    return lambda seen: seen.arguments[index] or ()


def _state(path: str) -> Callable[[Seen], Shape]:
    return lambda seen: seen.state[path]


def _output(index: int) -> Callable[[Seen], Shape]:
    return lambda seen: seen.outputs[index]


def python_tuple(items: Sequence[str]) -> str:
    """A tuple as Python writes it."""
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
