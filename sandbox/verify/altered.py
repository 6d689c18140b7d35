"""Values that a task's distributions never draw: equal rows, zeros, one sign, amplitudes of another order.

A kernel may do less where its inputs look unlike those that checks draw, and a user's data look otherwise. What an
input may hold is told by what is drawn (`kinds`), and drawn values are altered within that; the reference says what is
right for them, too.
Where it answers a change in the last bit with a large one (ties, the variance of a constant), no kernel could be
judged, and the alteration is left out.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.errors import TaskError
from warpsmith.core.kernel_file import dims_of
from warpsmith.core.task import Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.by_turns import BY_TURNS, KINDS, LOUD, by_turns, rows_of
from warpsmith.sandbox.verify.exact import bears, is_exact
from warpsmith.sandbox.verify.kinds import BITS, CODES, ONE_SIGN, Kind, Range, codes_drawn, kind_of
from warpsmith.sandbox.verify.steady import as_steady
from warpsmith.tasks.binding import shape_of
from warpsmith.tasks.convert import finite_limit, narrowed, unit_roundoff, widened
from warpsmith.tasks.oracle import floating, oracle
from warpsmith.tasks.sample import make_inputs

Floats = NDArray[np.float64]
Inputs = Mapping[str, HostTensor]
Pair = tuple[str, str]
"""Name of an input, and of what becomes of it."""
_FLOATING = (Kind.FREE, Kind.ONE_SIGN)
RULES: Mapping[Kind | None, Collection[str]] = {
    Kind.FREE: BY_TURNS,
    Kind.ONE_SIGN: ONE_SIGN,
    Kind.BITS: BITS,
    Kind.CODES: CODES,
}
"""Names of what becomes of an input first; one that may hold anything takes all ALTERATIONS, too."""

LEAST, WORK = 6, 5e7
"""Alterations that an evaluation tries: at least so many; more while they cost fewer operations and bytes than that."""
SMALL = WORK / 100
"""Operations and bytes of a workload that leave time for all of them: the one with most rows and columns is taken."""
TOGETHER = 3
"""One in so many of them is tried on two inputs at once, too."""
CONDITION = 16.0
"""Roundings of the inputs by which an output may move when each input moves by one."""
TRIES = 4
"""Moves of an input that whole results must bear: a tie may fall as before by chance."""


def _third(values: Floats, axis: int, draw: np.random.Generator) -> NDArray[np.bool_]:
    """About a third of the indices along an axis, at least one, as a mask that broadcasts."""
    extent = values.shape[axis]
    mask: NDArray[np.bool_] = draw.permutation(extent) < max(1, extent // 3)
    return np.moveaxis(mask.reshape(-1, *[1] * (values.ndim - 1)), 0, axis)


def _some(values: Floats, axis: int, draw: np.random.Generator, other: Floats | float) -> Floats:
    return np.where(_third(values, axis, draw), other, values)


def _scaled(values: Floats, draw: np.random.Generator, least: int, most: int) -> Floats:
    scaled: Floats = values * 2.0 ** draw.integers(least, most)
    return scaled


def _uniform(values: Floats, draw: np.random.Generator) -> Floats:
    """As large as before, every size as frequent as any other."""
    return draw.uniform(-1.0, 1.0, values.shape) * float(np.abs(values).max())


def _cancelling(values: Floats, draw: np.random.Generator) -> Floats:
    """Every odd place is the opposite of the one before it."""
    changed = values.copy()
    odd = changed[..., 1::2]
    odd[...] = -changed[..., : 2 * odd.shape[-1] : 2]
    return changed


ALTERATIONS: dict[str, Callable[[Floats, np.random.Generator], Floats]] = {
    "rows of zeros": lambda values, draw: _some(values, 0, draw, 0.0),
    "columns of zeros": lambda values, draw: _some(values, -1, draw, 0.0),
    "nine zeros in ten": lambda values, draw: np.where(draw.random(values.shape) < 0.9, 0.0, values),
    "equal rows": lambda values, draw: _some(values, 0, draw, values[:1]),
    "equal columns": lambda values, draw: np.broadcast_to(values[..., :1], values.shape),
    "one value throughout": lambda values, draw: np.full(values.shape, draw.choice(values[values != 0])),
    "one sign": lambda values, draw: np.abs(values) * (1 if draw.random() < 0.5 else -1),
    "one value a row": lambda values, draw: np.where(
        np.arange(values.shape[-1]) == draw.integers(values.shape[-1], size=(*values.shape[:-1], 1)), values, 0.0
    ),
    "an outlier column": lambda values, draw: np.where(
        np.arange(values.shape[-1]) == draw.integers(values.shape[-1]), values * 2.0 ** draw.integers(5, 9), values
    ),
    "rising rows": lambda values, draw: np.sort(values, axis=-1),
    "few whole values": lambda values, draw: np.clip(np.rint(values / np.abs(values).mean()), -2, 2),
    "rows of another amplitude": lambda values, draw: _some(values, 0, draw, values / 2.0 ** draw.integers(3, 9)),
    "faint values": lambda values, draw: _scaled(values, draw, -12, -7),
    "loud values": lambda values, draw: _scaled(values, draw, 4, 8),
    "a few outliers": lambda values, draw: np.where(draw.random(values.shape) < 0.01, 64.0 * values, values),
    "uniform values": _uniform,
    "neighbours that cancel": _cancelling,
    "a third of next to nothing": lambda values, draw: np.where(draw.random(values.shape) < 0.3, 1e-6 * values, values),
}
"""What becomes of an input that may hold anything."""


def cheaper(task: Task, workloads: Sequence[Workload]) -> list[Workload]:
    """The cheaper half of them and the one in the middle, the cheapest first."""
    return sorted(workloads, key=lambda item: work_of(task, item))[: (len(workloads) + 1) // 2]


def ways(
    task: Task, workloads: Sequence[Workload], cheap: Sequence[Workload], seed: int
) -> Iterator[tuple[Workload, tuple[Pair, ...]]]:
    """What an evaluation tries, drawn from its seed: a workload, and one or two inputs that are altered there.

    Args:
        task: Its inputs.
        workloads: Verify workloads that the kernel handles.
        cheap: The `cheaper` ones of them.
        seed: Of the evaluation.
    """
    draw = random.Random(f"altered {seed}")  # noqa: S311 - seeded on purpose
    cheap = _with_small(task, workloads, cheap)
    many = max(LEAST, int(WORK / max([1.0, *(work_of(task, item) for item in cheap)])))
    first, rest = list[Pair](), list[Pair]()
    places = places_of(task, workloads, cheap, seed)
    for name, (_, inputs) in places.items():
        kind = kind_of(task, name, inputs[name])
        first += [(name, alteration) for alteration in RULES.get(kind, ())]
        rest += [(name, alteration) for alteration in ALTERATIONS if kind is Kind.FREE]
    draw.shuffle(first)
    chosen = (first + draw.sample(rest, len(rest)))[:many]
    yield from ((places[name][0], ((name, alteration),)) for name, alteration in chosen)
    twos = [(one, other) for one, other in combinations(chosen, 2) if one[0] != other[0]]
    for one, other in draw.sample(twos, min(len(chosen) // TOGETHER, len(twos))):
        yield places[one[0]][0], (one, other)


def places_of(
    task: Task, workloads: Sequence[Workload], cheap: Sequence[Workload], seed: int
) -> dict[str, tuple[Workload, Inputs]]:
    """Where each input is altered: the workload with most of it along each axis, and all that is drawn there.

    Args:
        task: Its inputs.
        workloads: Verify workloads that the kernel handles.
        cheap: Those of them that are taken where they have the input.
        seed: Of the evaluation.
    """
    drawn = {item.name: make_inputs(task, item, seed) for item in workloads}
    workloads = [item for item in workloads if _is_finite(task, item, drawn[item.name])] or workloads
    cheap = [item for item in cheap if item in workloads]
    found = dict[str, tuple[Workload, Inputs]]()
    for name in (item.name for item in task.inputs):
        place = _flattest(task, name, cheap) or _flattest(task, name, workloads)
        if place is None:
            continue
        if kind_of(task, name, drawn[place.name][name]) is not Kind.FREE:
            # What such an input means may hang on others that are optional, as packed words do on zero points.
            full = min(len(item.absent) for item in workloads if name not in item.absent)
            place = _flattest(task, name, [item for item in workloads if len(item.absent) == full]) or place
        found[name] = place, drawn[place.name]
    return found


def work_of(task: Task, workload: Workload) -> float:
    """Operations and bytes."""
    return task.cost(dims_of(task, workload)).work


def _with_small(task: Task, workloads: Sequence[Workload], cheap: Sequence[Workload]) -> list[Workload]:
    return [item for item in workloads if item in cheap or work_of(task, item) <= SMALL]


def _is_finite(task: Task, workload: Workload, inputs: Inputs) -> bool:
    """Whether the reference is finite throughout: where NaN is drawn, an altered input shows nothing."""
    return all(np.isfinite(value).all() for value in oracle(task, workload, inputs).values())


def _flattest(task: Task, name: str, workloads: Sequence[Workload]) -> Workload | None:
    """The workload that has the input, and the most of it along each axis."""
    there = [item for item in workloads if name not in item.absent]
    return max(there, key=lambda item: min(shape_of(task, task.tensor(name), item), default=0), default=None)


def altered_together(
    task: Task, workload: Workload, pairs: Sequence[Pair], seed: int
) -> tuple[Workload, dict[str, HostTensor]] | None:
    """What an evaluation of this seed runs for one of its `ways`: the inputs that it draws, each pair altered as by
    `altered`; None where one cannot be judged.
    """
    found: tuple[Workload, dict[str, HostTensor]] | None = workload, make_inputs(task, workload, seed)
    for pair in pairs:
        found = found and altered(task, *found, pair, seed)
    return found


def altered(
    task: Task, workload: Workload, inputs: Inputs, pair: Pair, seed: int, turn: int = 0
) -> tuple[Workload, dict[str, HostTensor]] | None:
    """The inputs with one of them changed, and the workload named after it; None where nothing could be judged then.

    Args:
        task: Its reference says whether it can.
        workload: What `inputs` were drawn for.
        inputs: All of them.
        pair: Name of an input, and an alteration that its kind allows.
        seed: Draws how.
        turn: Of rows of many kinds: which of several runs, each with other kinds.
    """
    name, alteration = pair
    tensor = inputs.get(name)
    kind = None if tensor is None else kind_of(task, name, tensor)
    if tensor is None or kind is None:
        return None
    draw = np.random.default_rng([seed, *alteration.encode()])
    how = f"{workload.name}, {name} with {alteration}"
    if alteration in BY_TURNS and kind is Kind.FREE:
        return _by_turns(task, replace(workload, name=how), inputs, pair, draw, turn)
    changed = _changed(task, workload, pair, tensor, kind, draw, seed)
    if changed is None:
        return None
    given = {**inputs, name: changed}
    posed = judgeable(task, workload, (inputs, given), name if kind in _FLOATING else None, draw)
    return (replace(workload, name=how), given) if posed else None


def judgeable(
    task: Task, workload: Workload, change: tuple[Inputs, Inputs], name: str | None, draw: np.random.Generator
) -> bool:
    """Whether a kernel may be held to the second inputs as it is to the first."""
    before, given = change
    try:
        here = oracle(task, workload, given)
    except TaskError:
        # What an input may hold is inferred; a reference that raises says it was inferred wrongly.
        return False
    return well_posed(task, workload, given, name, draw, here=here) and as_steady(task, workload, before, given, here)


def _changed(
    task: Task,
    workload: Workload,
    pair: Pair,
    tensor: HostTensor,
    kind: Kind,
    draw: np.random.Generator,
    seed: int,
) -> HostTensor | None:
    """The altered input; None where its kind has no such alteration, or it would leave the range that is drawn."""
    name, alteration = pair
    if kind is Kind.FREE and alteration in ALTERATIONS:
        return fitted(ALTERATIONS[alteration](widened(tensor), draw), tensor)
    if kind is Kind.ONE_SIGN and alteration in ONE_SIGN:
        seen = Range.drawn(task, name, tensor, task.verify, seed)
        magnitudes = ONE_SIGN[alteration](np.abs(widened(tensor)), draw, seen)
        if alteration.startswith("ones") and not seen.low <= 1.0 <= seen.high:
            return None
        return within(seen, magnitudes, tensor)
    before = tensor.array.astype(np.int64)
    if kind is Kind.BITS and alteration in BITS:
        after = BITS[alteration](before, draw)
    elif kind is Kind.CODES and alteration in CODES:
        after = CODES[alteration](before, draw, partial(codes_drawn, task, name, tensor, workload, seed))
    else:
        return None
    return as_stored(after, tensor)


def as_stored(values: NDArray[Any], tensor: HostTensor) -> HostTensor:
    """Whole numbers in an input's dtype; what does not fit is cut off."""
    return HostTensor(tensor.dtype, tensor.shape, np.ascontiguousarray(values.astype(tensor.array.dtype)))


def within(seen: Range, magnitudes: Floats, tensor: HostTensor) -> HostTensor:
    """Magnitudes in an input of one sign, no further than what is drawn."""
    return fitted(np.sign(widened(tensor)) * np.clip(magnitudes, seen.low, seen.high), tensor)


def fitted(values: Floats, tensor: HostTensor) -> HostTensor:
    """The values in an input's dtype, none of them infinite."""
    limit = finite_limit(tensor.dtype)
    return narrowed(np.clip(values, -limit, limit), tensor.dtype)


def _by_turns(
    task: Task, workload: Workload, inputs: Inputs, pair: Pair, draw: np.random.Generator, turn: int
) -> tuple[Workload, dict[str, HostTensor]] | None:
    """Rows of many kinds: of all that the reference can be judged at, alone where not together."""
    name, alteration = pair
    tensor, axis = inputs[name], BY_TURNS[alteration]
    if len(tensor.shape) < 2:
        return None
    first = int(draw.integers(len(KINDS))) + turn * rows_of(tensor.shape, alteration)

    def tried(kinds: Collection[str]) -> tuple[dict[str, HostTensor], str] | None:
        values, order = by_turns(widened(tensor), axis, draw, first, kinds)
        given = {**inputs, name: fitted(values, tensor)}
        return (given, order) if judgeable(task, workload, (inputs, given), name, draw) else None

    # Judging each alone takes long, and loud rows overflow where all others may be judged together.
    # Whether loud ones can is often a matter of chance: two largest values that are nearly equal.
    found = tried(KINDS) or tried(KINDS) or tried([kind for kind in KINDS if kind != LOUD])
    if found is None:
        alone = [kind for kind in KINDS if tried([kind])]
        found = tried(alone) if alone else None
    return found and (replace(workload, name=f"{workload.name}: {found[1]}, and so on"), found[0])


def well_posed(
    task: Task,
    workload: Workload,
    given: Inputs,
    name: str | None,
    draw: np.random.Generator,
    highest: float = 0.25,
    here: Mapping[str, NDArray[Any]] | None = None,
) -> bool:
    """Whether the reference is finite, nowhere zero alone, and moves no further than the input `name` does, if any.
    Integers may move where they are exact, or where a check of the task's own bears that.

    `highest` is the share of an output's largest finite value that it may reach, `here` its answer where it is known.
    """
    unit = unit_roundoff(given[name].dtype) if name else 0.0
    here = oracle(task, workload, given) if here is None else here
    floats = floating(task, workload, here)
    moved = set[str]()
    for _ in range(TRIES if len(floats) < len(here) and name else 1):
        there = oracle(task, workload, {**given, name: _moved(given[name], draw)}) if name else here
        if not all(
            _alike(here[output], there[output], CONDITION * 2 * unit, highest * finite_limit(dtype))
            for output, dtype in floats.items()
        ):
            return False
        moved |= {output for output in here.keys() - floats.keys() if not np.array_equal(here[output], there[output])}
        if moved >= here.keys():
            break  # no further neighbour says more
    if not moved or is_exact(task, workload, given, here):
        return True
    return moved <= task.judged and bears(task, workload, given, here)


def _moved(tensor: HostTensor, draw: np.random.Generator) -> HostTensor:
    """Every element to a neighbour of its dtype, or not; zeros to numbers next to nothing, so that they differ."""
    values = widened(tensor)
    steps = draw.integers(-1, 2, values.shape)
    faint = min(2.0**-20, unit_roundoff(tensor.dtype) / 16) * float(np.abs(values[values != 0]).min(initial=1.0))
    moved = np.where(values == 0, faint * steps, values * (1 + 2 * unit_roundoff(tensor.dtype) * steps))
    return narrowed(moved, tensor.dtype)


def _alike(first: NDArray[Any], second: NDArray[Any], most: float, limit: float) -> bool:
    if not first.size:
        return True
    if not np.isfinite(first).all() or np.abs(first).max() > limit:
        return False
    scale = float(np.sqrt(np.square(first).mean()))
    return scale > 0 and float(np.sqrt(np.square(first - second).mean())) <= most * scale
