"""Workloads minted for one evaluation: sizes a candidate has not seen, and bench sizes one or two at a time.

A kernel fitted to the verify workloads, or exact on them and careless at the sizes that are timed, fails here. What is
drawn depends on the evaluation's seed, which is drawn after the candidate is frozen; a failure names the class only.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, product

from warpsmith.core.errors import TaskError
from warpsmith.core.kernel_file import dims_of
from warpsmith.core.task import Task, Workload
from warpsmith.sandbox.verify.size_classes import CLASSES, SCANT, scattered

Admits = Callable[[Workload], bool]

_SMALL = (1, 3, 8, 16, 32, 64, 128, 256)
"""Sizes that the other dimensions of a shrunk workload may take."""
_STEP = 4
"""Ratio of the larger sizes tried to reach what only large workloads execute: a grid-wide loop's second turn."""
TRIES = 32
"""Sizes of a class that are tried in one dimension."""
SWEPT = 16
"""Sizes that every free dimension takes in workloads where all dimensions are small."""
BEYOND = 4
"""Times the largest bench size of a dimension, up to which one is minted."""
UNSEEN_FIXED = 2
"""Sizes of fixed dimensions that an evaluation tries below and between those listed: each may take a build."""
COST_FACTOR, REACHING_FACTOR = 2.5, 8.0
"""A minted workload costs at most this many times the dearest verify workload, in operations and bytes; one that is
needed to reach what a bench workload executes may cost more."""
LEAST_COST = 2e6
"""Where verify workloads are tiny they are taken to cost this."""


BENCH_SIZED = "bench-sized"
"""Names of workloads begin so that have one or two dimensions of a bench workload."""
AGAIN = "with other values"
"""Names of workloads end so that differ from others in what is drawn alone."""


@dataclass(frozen=True, slots=True)
class Minted:
    """Workloads by whether a kernel must be able to run them."""

    within: tuple[Workload, ...]
    """No free dimension is larger than any that is listed, no fixed one other than those."""
    beyond: tuple[Workload, ...]

    @property
    def all(self) -> tuple[Workload, ...]:
        return (*self.within, *self.beyond)


@dataclass(frozen=True, slots=True)
class Minter:
    """Draws workloads of one task that a kernel claims to handle."""

    task: Task
    admits: Admits
    """Whether the kernel's `requires` holds; asked only about workloads that the task allows."""
    seed: int
    _costs: dict[tuple[int, ...], float | None] = field(default_factory=dict)
    _most: dict[str, float] = field(default_factory=dict)

    def hidden(self) -> tuple[Workload, ...]:
        """One workload a class, where the task and the kernel leave room for one."""
        draw = random.Random(f"hidden {self.seed}")  # noqa: S311 - its seed is the secret
        found = [self._of_class(name, sizes, draw) for name, sizes in CLASSES.items()]
        found += self._small_sizes(draw)
        found += self.bench_sized(draw)
        minted = [item for item in found if item is not None]
        return tuple(_distinct(iter(minted + self._with_other_inputs(minted, draw))))

    def unlisted(self) -> tuple[Workload, ...]:
        """Workloads that a kernel may be unable to run at all, since nothing of that kind is listed: but where it runs,
        it is right.
        """
        draw = random.Random(f"unlisted {self.seed}")  # noqa: S311 - its seed is the secret
        return tuple(_distinct(iter(self._beyond_bench(draw) + self._unseen_fixed(draw))))

    def _small_sizes(self, draw: random.Random) -> list[Workload]:
        """Workloads that together take every free dimension through all sizes up to SWEPT, or as many multiples of
        what constraints ask for: a bound off by one in an unrolled loop shows at a single size.
        """
        free = self.free()
        orders = {name: draw.sample(range(1, SWEPT + 1), SWEPT) for name in free}
        found: list[Workload] = []
        for turn in range(SWEPT):
            bases = self.bases(draw)
            if not bases:
                break
            current, changed = bases[0], list[str]()
            for name in free:
                sizes = [size for size in self._times(current, orders[name][turn]) if size != current.dims[name]]
                smaller = self.changed(current, name, *sizes)
                if smaller is not None:
                    current = smaller
                    changed.append(name)
            if changed:
                found.append(replace(current, name=f"hidden: small {' and '.join(changed)}"))
        return found

    def _times(self, base: Workload, size: int) -> list[int]:
        """The size, and so many times what constraints often ask for; smallest first."""
        return sorted({size * step for step in (1, 8, *(base.dims[name] for name in self.task.fixed)) if step})

    def _with_other_inputs(self, minted: Sequence[Workload], draw: random.Random) -> list[Workload]:
        """A workload for each set of optional inputs that none of `minted` is given, of new sizes where possible."""
        found: list[Workload] = []
        admitted = [item for item in self.task.verify if self.admits(item)] if minted else []
        for absent in sorted({item.absent for item in admitted} - {item.absent for item in minted}, key=sorted):
            bases = [item for item in admitted if item.absent == absent]
            classes = draw.sample([*CLASSES.items()], len(CLASSES))
            drawn = (self._of_class(name, sizes, draw, bases) for name, sizes in classes)
            found.append(next((item for item in drawn if item is not None), draw.choice(bases)))
        return found

    def bench_sized(self, draw: random.Random) -> list[Workload]:
        """The largest bench size of each free dimension, the others small, with any fixed dimensions that are listed
        where that is too dear with its own; and a pair of them, where that is cheap.
        """
        found: list[Workload] = []
        if not self.task.bench:
            return found
        for name in self.free():
            found += next(filter(None, (self._drawn(source, (name,), draw) for source in self._largest(name))), [])
        source = draw.choice(self.task.bench)
        pairs = list(combinations(self.free(), 2))
        draw.shuffle(pairs)
        for pair in pairs:
            twins = self._drawn(source, pair, draw)
            if twins:
                return found + twins
        return found

    def _beyond_bench(self, draw: random.Random) -> list[Workload]:
        """Each free dimension larger than it is in any bench workload, the others small, where that is cheap: what is
        right up to the largest size that a task lists and no further.
        """
        found = (self._beyond(name, draw) for name in (self.free() if self.task.bench else ()))
        return [item for item in found if item is not None]

    def _beyond(self, name: str, draw: random.Random) -> Workload | None:
        sources = self._largest(name)
        most = sources[0].dims[name]
        drawn = scattered(most + 1, BEYOND * most, 4, draw) + scattered(most + 1, most + most // 8, 2, draw)
        # The largest that is cheap with any fixed dimensions: a bound just beyond what is listed shows at any above it.
        for size in sorted(drawn, reverse=True):
            for source in sources:
                steps = {8, *(source.dims[fixed] for fixed in self.task.fixed if source.dims[fixed])}
                for whole in (size, *(size - size % step for step in sorted(steps))):
                    sized = replace(source, dims={**source.dims, name: whole})
                    twins = self._drawn(sized, (name,), draw, untimed=True) if whole > most else []
                    if twins:
                        return replace(twins[0], name=f"hidden: {name} beyond every bench workload's")
        return None

    def _unseen_fixed(self, draw: random.Random) -> list[Workload]:
        """Verify workloads, each with one fixed dimension at a size that the task lists nowhere: each dimension larger
        than any that is listed, some smaller or in between.
        """
        names = draw.sample(self.task.fixed, len(self.task.fixed))
        beyond, others = list[Workload | None](), list[Workload | None]()
        for name in names:
            seen = sorted({item.dims[name] for item in (*self.task.verify, *self.task.bench)})
            least, most = seen[0], seen[-1]
            # Where there is much of everything else: a cap on how many are taken shows only where there are more.
            dear = [item for item in self.task.verify if self._cost(item) is not None and self.admits(item)]
            dear.sort(key=lambda item: -(self._cost(item) or 0.0))
            most_dear = dear[: (len(dear) + 2) // 3]
            dear = draw.sample(most_dear, len(most_dear)) + dear[len(most_dear) :]
            beyond.append(self._with_fixed(name, scattered(most + 1, 2 * most, TRIES, draw), seen, dear))
            others.append(
                self._with_fixed(name, scattered(max(least // 4, 1), least - 1, TRIES, draw), seen, self.bases(draw))
            )
            others.append(self._with_fixed(name, scattered(least + 1, most - 1, TRIES, draw), seen, self.bases(draw)))
        found = [item for item in others if item is not None]
        return [item for item in beyond if item is not None] + draw.sample(found, min(UNSEEN_FIXED, len(found)))

    def _with_fixed(self, name: str, sizes: list[int], seen: list[int], bases: Sequence[Workload]) -> Workload | None:
        for base in bases[:8]:
            for size in (*(size - size % 8 for size in sizes), *sizes):
                if not size or size in seen:
                    continue
                whole = {other: max(base.dims[other] // size, 1) * size for other in self.free()}
                for dims in ({name: size}, *({name: size, other: whole[other]} for other in whole)):
                    workload = replace(base, name=f"hidden: unseen {name} = {size}", dims={**base.dims, **dims})
                    cost = self._cost(workload)
                    if cost is not None and cost <= COST_FACTOR * self._verify_cost() and self.admits(workload):
                        return workload
        return None

    def _drawn(
        self, bench: Workload, kept: tuple[str, ...], draw: random.Random, *, untimed: bool = False
    ) -> list[Workload]:
        """One of the shrunk relatives, at random, with values of any distribution that verify workloads use; `untimed`:
        of one that no bench workload uses, where there is such a one.
        """
        relatives = self.shrunk(bench, kept)
        if not relatives:
            return []
        alike = [item for item in self.task.verify if item.dtypes == bench.dtypes]
        if untimed:
            timed = {item.distribution for item in self.task.bench}
            alike = [item for item in alike if item.distribution not in timed] or alike
        chosen, values = (
            draw.choice(relatives[len(relatives) // 2 :]),
            draw.choice(alike if untimed and alike else [bench, *alike]),
        )
        drawn = replace(chosen, distribution=values.distribution, absent=values.absent)
        return [drawn if self.admits(drawn) else chosen]

    def towards(self, bench: Workload, same_code: Admits) -> Iterator[Workload]:
        """Ever larger relatives of a bench workload that run the same code, then, the last first, all once more with
        other values, since some code is reached by those alone.
        """
        relatives = list[Workload]()
        for item in self._relatives(bench, same_code):
            relatives.append(item)
            yield item
        yield from (replace(item, name=f"{item.name}, {AGAIN}") for item in reversed(relatives))

    def _relatives(self, bench: Workload, same_code: Admits) -> Iterator[Workload]:
        """First all dimensions small, then one at its bench value, then two, and so on; of each kind a middling one,
        the cheapest, one more and the dearest, and the dearest with the fixed dimensions of each verify workload.
        """
        free, others = self.free(), self._otherwise_fixed(bench)
        for count in range(len(free) + 1):
            for kept in combinations(free, count):
                alike = [item for item in self.shrunk(bench, kept, REACHING_FACTOR) if same_code(item)]
                spread = [int(share * (len(alike) - 1)) for share in (0.5, 0, 0.75, 1)]
                yield from _distinct(alike[index] for index in spread if alike)
            for other, kept in product(others, combinations(free, count)):
                alike = [item for item in self.shrunk(other, kept, REACHING_FACTOR) if same_code(item)]
                yield from alike[-1:]

    def _largest(self, name: str) -> list[Workload]:
        """The bench workload with most of a dimension; then the same with the fixed dimensions of verify workloads."""
        largest = max(self.task.bench, key=lambda item: item.dims[name])
        return [largest, *self._otherwise_fixed(largest)]

    def _otherwise_fixed(self, bench: Workload) -> list[Workload]:
        """The bench workload with the fixed dimensions of verify workloads of its dtypes."""
        alike = [item for item in self.task.verify if item.dtypes == bench.dtypes]
        fixed = [{name: item.dims[name] for name in self.task.fixed} for item in alike]
        bases = [replace(bench, dims={**bench.dims, **values}) for values in fixed]
        return [item for item in _distinct(iter(bases)) if item.dims != bench.dims]

    def free(self) -> tuple[str, ...]:
        """Dimensions that may have any size."""
        return tuple(name for name in self.task.dims if name not in self.task.fixed)

    def shrunk(self, bench: Workload, kept: Sequence[str], factor: float = COST_FACTOR) -> list[Workload]:
        """The workload with all free dimensions but `kept` small, cheapest first."""
        others = [name for name in self.free() if name not in kept]
        rungs = {name: self._small(name) if factor == COST_FACTOR else self._ladder(name, bench) for name in others}
        choices = [[size for size in rungs[name] if size <= bench.dims[name]] for name in others]
        found: list[tuple[float, Workload]] = []
        for sizes in product(*choices):
            dims = {**bench.dims, **dict(zip(others, sizes, strict=True))}
            name = f"{BENCH_SIZED} {' and '.join(kept)}" if kept else "a shrunk bench workload"
            workload = replace(bench, name=name, dims=dims, source="")
            cost = self._cost(workload)
            if cost is not None and cost <= factor * self._verify_cost() and self.admits(workload):
                found.append((cost, workload))
        return [workload for _, workload in sorted(found, key=lambda item: item[0])]

    def _small(self, name: str) -> list[int]:
        seen = sorted({item.dims[name] for item in self.task.verify})
        return sorted({*_SMALL, *seen[:3]})

    def _ladder(self, name: str, bench: Workload) -> list[int]:
        """The small sizes, and larger ones up to the bench size in equal ratios, each beside one less round."""
        sizes = self._small(name)
        rung = _STEP * max(_SMALL)
        while rung < bench.dims[name]:
            sizes += [rung, rung + 3]
            rung *= _STEP
        return sorted(sizes)

    def _of_class(
        self,
        name: str,
        sizes: Callable[[int, int], list[int]],
        draw: random.Random,
        bases: Sequence[Workload] | None = None,
    ) -> Workload | None:
        """A verify workload with every free dimension that allows it changed to a size of the class; of the smallest
        classes only some dimensions, since little is left to get wrong where all are one.
        """
        for base in (self.bases(draw) if bases is None else bases)[:4]:
            changed: list[str] = []
            current = base
            free = self.free()
            most = draw.randint(1, len(free)) if free and name in SCANT else len(free)
            for dimension in draw.sample(free, len(free)):
                if len(changed) == most:
                    break
                low, high = self._range(dimension)
                plain = sizes(low, high)
                found = None
                rest = [] if base.dims[dimension] in plain else self._whole(base, plain)
                for options in (plain, rest):
                    other = [size for size in options if size != base.dims[dimension]]
                    found = found or self.changed(current, dimension, *draw.sample(other, min(len(other), TRIES)))
                if found is not None:
                    current = found
                    changed.append(dimension)
            if changed:
                shown = " and ".join(item for item in self.task.dims if item in changed)
                return replace(current, name=f"hidden: {name} {shown}")
        return None

    def bases(self, draw: random.Random) -> list[Workload]:
        """Verify workloads in random order; one time in two with the fixed dimensions of a bench workload first, since
        what is compiled for those is what will be used most.
        """
        bases = list(self.task.verify)
        draw.shuffle(bases)
        if self.task.bench and draw.random() < 0.5:
            bench = draw.choice(self.task.bench)
            fixed = {name: bench.dims[name] for name in self.task.fixed}
            alike = [item for item in bases if item.dtypes == bench.dtypes]
            bases = [replace(item, dims={**item.dims, **fixed}) for item in alike] + bases
        return [item for item in bases if self._cost(item) is not None and self.admits(item)]

    def changed(self, base: Workload, dimension: str, *options: int) -> Workload | None:
        """The workload with the first of these sizes that the task and the kernel allow and that is cheap."""
        for size in options:
            workload = replace(base, dims={**base.dims, dimension: size})
            cost = self._cost(workload)
            if cost is not None and cost <= COST_FACTOR * self._verify_cost() and self.admits(workload):
                return workload
        return None

    def _whole(self, base: Workload, sizes: Sequence[int]) -> list[int]:
        """Whole multiples of each fixed dimension near the sizes: constraints often ask for those."""
        steps = {base.dims[name] for name in self.task.fixed if base.dims[name]} | {8}
        multiples = {size * step for step in steps for size in sizes[:8]}
        return sorted(multiples | {size - size % step for step in steps for size in sizes})

    def _range(self, dimension: str) -> tuple[int, int]:
        """What constraints allow, from nothing to the largest size that a verify workload has."""
        return 0, max(item.dims[dimension] for item in self.task.verify)

    def _cost(self, workload: Workload) -> float | None:
        """Operations and bytes; None where the task does not allow the sizes."""
        key = tuple(workload.dims.values())
        if key not in self._costs:
            try:
                self._costs[key] = self.task.cost(dims_of(self.task, workload)).work
            except TaskError:
                self._costs[key] = None
        return self._costs[key]

    def _verify_cost(self) -> float:
        """Of the dearest verify workload."""
        if "most" not in self._most:
            self._most["most"] = max(LEAST_COST, *(self._cost(item) or 0.0 for item in self.task.verify))
        return self._most["most"]


def _distinct(workloads: Iterator[Workload]) -> Iterator[Workload]:
    seen = set()
    for item in workloads:
        key = (tuple(sorted(item.dims.items())), item.distribution)
        if key not in seen:
            seen.add(key)
            yield item
