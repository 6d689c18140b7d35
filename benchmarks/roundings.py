"""How often the comparison refuses what rounds a few times more than the reference, and what rounds to fewer bits.

No kernel runs: on every input that evaluations pose (as drawn, altered, at other amplitudes) the float64 answer is
rounded as a kernel would that keeps partial results. An *honest* one rounds to the output's dtype twice more than it
must, each time at a scale of its own, as partial sums and shares of them are; equal values err alike. It should never
be refused. A *coarse* one keeps a result in the next lower precision once. It should be refused wherever its answers
differ: not where they are exact in fewer bits, as whole numbers and chosen values are. Where a task's floor comes near
what that shows (1e-3, the default, beside 1.6e-3 of float16 kept in bfloat16), some inputs let it pass.

Expected by hand for outputs spread evenly by their logarithm, in roundoffs u of the dtype: a rounding errs by 0.42 u in
the mean square, three of them by 0.74 u, and 3 x 0.42 u = 1.27 u is allowed before any floor. Three bits fewer, as of
float16 in bfloat16, make 3.4 u.

Prints one JSON object; exit code 1 where an honest answer was refused.

    python benchmarks/roundings.py [--seeds 20] [TASK ...]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from honest import tasks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from warpsmith.core.dtype import DType
    from warpsmith.core.task import Task, Workload
    from warpsmith.core.tensor import HostTensor

    Inputs = Mapping[str, HostTensor]
    Floats = NDArray[np.float64]

EXTRA = 2
"""Roundings that an honest kernel has besides the last one."""
LOWER = {"float64": 24, "float32": 11, "float16": 8, "bfloat16": 4}
"""Binary digits of the next lower precision: float32, tf32, bfloat16, fp8."""


def posed(task: Task, seed: int) -> Iterator[tuple[str, Workload, Inputs]]:
    """(kind, workload, inputs) of what one evaluation runs; hidden sizes left out."""
    from warpsmith.sandbox.verify.altered import altered_together, cheaper, ways
    from warpsmith.sandbox.verify.amplitudes import at_amplitudes
    from warpsmith.tasks.sample import make_inputs

    cheap = cheaper(task, task.verify)
    for workload in task.verify:
        yield "drawn", workload, make_inputs(task, workload, seed)
    for found in at_amplitudes(task, cheap[seed % len(cheap)], seed):
        yield "other amplitudes", *found
    for workload, pairs in ways(task, task.verify, cheap, seed):
        changed = altered_together(task, workload, pairs, seed)
        if changed is not None:
            yield "altered", *changed


def coarse(values: Floats, dtype: DType, draw: np.random.Generator) -> Floats:
    """Rounded once to the next lower precision's digits."""
    mantissa, exponent = np.frexp(values)
    digits = LOWER[dtype.value]
    return np.ldexp(np.rint(np.ldexp(mantissa, digits)), exponent - digits)


def honest_ones(values: Floats, dtype: DType, draw: np.random.Generator) -> Floats:
    """Rounded to the dtype at two scales of their own; what would overflow there stays."""
    from warpsmith.tasks.convert import narrowed, widened

    for scale in draw.uniform(1, 2, EXTRA):
        rounded = widened(narrowed(values * scale, dtype)) / scale
        values = np.where(np.isfinite(rounded), rounded, values)
    return values


MODELS = {"honest": honest_ones, "coarse": coarse}


def refused(task: Task, workload: Workload, inputs: Inputs, draw: np.random.Generator) -> dict[str, str]:
    """By model: what the comparison says, or nothing where it lets it pass."""
    from warpsmith.core.outcome import Wrong
    from warpsmith.sandbox.verify.standard import Standard
    from warpsmith.tasks.convert import narrowed, widened

    standard = Standard(task, workload, inputs)
    expected, ideal = standard.expected, standard.honest
    said = {}
    for name, model in MODELS.items():
        got = dict(ideal)
        for output, tensor in ideal.items():
            if tensor.dtype.is_floating:
                finite = np.isfinite(expected[output]) & np.isfinite(widened(tensor))
                values = model(np.where(finite, expected[output], 0.0), tensor.dtype, draw)
                got[output] = narrowed(np.where(finite, values, widened(tensor)), tensor.dtype)
        found = standard.verdict(got)
        said[name] = f"{found.message} ({workload.name})" if isinstance(found, Wrong) else ""
    return said


def judged(task: Task, seeds: int) -> dict[str, Any]:
    """One task's figures."""
    tried, shares, messages = Counter[str](), Counter[tuple[str, str]](), list[str]()
    for seed in range(seeds):
        draw = np.random.default_rng(seed)
        for kind, workload, inputs in posed(task, seed):
            tried[kind] += 1
            said = refused(task, workload, inputs, draw)
            shares.update((kind, name) for name, words in said.items() if words)
            messages += [f"seed {seed}: {said['honest']}"] if said["honest"] else []
    return {
        "inputs": dict(tried),
        "refused": {name: {kind: shares[kind, name] for kind in tried} for name in MODELS},
        "refusals": messages,
    }


def main() -> int:
    """Try the tasks that were named, or all that have floating outputs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*")
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    known = tasks()
    if unknown := {*options.tasks} - known.keys():
        raise SystemExit(f"no task {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    chosen = [
        task
        for name, task in sorted(known.items())
        if name in (options.tasks or known)
        and any(task.dtype_of(output, task.verify[0]).is_floating for output in task.outputs)
    ]
    report = {task.name: judged(task, options.seeds) for task in chosen}
    total = sum(sum(item["inputs"].values()) for item in report.values())
    wrong = sum(len(item["refusals"]) for item in report.values())
    print(json.dumps({"tasks": report, "inputs": total, "honest_refused": wrong, "source": "simulated"}, indent=2))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
