"""How often the accept rule for measured times errs, on simulated GPUs: noise, drift, throttling, bimodal clocks.

Prints, for each machine, the share of false wins at equal speed, the share of true 3 % wins that are found, and the
process pairs they took.

    python benchmarks/acceptance.py [--runs 1000]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from warpsmith.profiler.comparison import LOOKS, Finding, PairedBlock, Sample, compare_times

BLOCKS, CALLS = 10, 8
"""Blocks of a process pair, and calls of each kernel in a block."""
FALSE_WINS, TRUE_WINS = 0.01, 0.95


@dataclass(frozen=True)
class Machine:
    """A GPU's bad habits; shares of the time."""

    call: float = 0.01
    """Spread of single calls."""
    process: float = 0.003
    """Spread between processes, of each kernel on its own: placement, page tables."""
    drift: float = 0.0
    """Slow change over a process pair."""
    throttle: float = 0.0
    """Chance that a block is throttled, by a tenth."""
    second_clock: float = 0.0
    """Chance that a block runs at a clock 3 % lower."""
    outliers: float = 0.01
    """Chance that a call takes twice as long."""


MACHINES = {
    "quiet": Machine(),
    "noisy calls": Machine(call=0.04, outliers=0.05),
    "processes that differ": Machine(process=0.006),
    "drift": Machine(drift=0.05),
    "throttling": Machine(throttle=0.2),
    "bimodal clocks": Machine(second_clock=0.5),
    "all of it": Machine(call=0.03, process=0.005, drift=0.03, throttle=0.1, second_clock=0.3, outliers=0.03),
}


def pair(machine: Machine, number: int, speedup: float, random: np.random.Generator) -> list[PairedBlock]:
    """One fresh pair of processes."""
    own = np.exp(random.normal(0, machine.process, 2))
    blocks = []
    for index in range(BLOCKS):
        throttled = random.random() < machine.throttle
        clock = 1980.0 * (0.9 if throttled else 1.0) * (0.97 if random.random() < machine.second_clock else 1.0)
        slow = 1 + machine.drift * index / BLOCKS
        sides: tuple[list[Sample], list[Sample]] = ([], [])
        for call in range(2 * CALLS):
            side = (0, 1, 1, 0)[call % 4]
            base = 50.0 * (1980.0 / clock) * own[side] * slow * (1 + machine.drift * call / (2 * CALLS * BLOCKS))
            base /= speedup if side else 1.0
            us = base * np.exp(random.normal(0, machine.call)) * (2.0 if random.random() < machine.outliers else 1.0)
            sides[side].append(Sample(float(us), clock, throttled))
        blocks.append(PairedBlock(number, tuple(sides[0]), tuple(sides[1])))
    return blocks


def decide(measure: Callable[[int], list[PairedBlock]]) -> tuple[Finding, int]:
    """Measure until a look decides, or the last one does not."""
    blocks: list[PairedBlock] = []
    finding = Finding.AMBIGUOUS
    done = 0
    for look in LOOKS:
        while done < look:
            blocks += measure(done)
            done += 1
        finding = compare_times(blocks).finding
        if finding is not Finding.AMBIGUOUS:
            break
    return finding, done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300)
    options = parser.parse_args()
    report, sound = {}, True
    for name, machine in MACHINES.items():
        found = {}
        for label, speedup in (("false wins at equal speed", 1.0), ("true wins of 3 %", 1.03)):
            random = np.random.default_rng(7)
            answers = [decide(lambda n, s=speedup, r=random, m=machine: pair(m, n, s, r)) for _ in range(options.runs)]  # type: ignore[misc]
            found[label] = round(sum(finding is Finding.FASTER for finding, _ in answers) / options.runs, 4)
            found[f"pairs, {label}"] = round(sum(pairs for _, pairs in answers) / options.runs, 1)
        sound &= found["false wins at equal speed"] <= FALSE_WINS and found["true wins of 3 %"] >= TRUE_WINS
        report[name] = found
    print(json.dumps({"machines": report, "targets": {"false": FALSE_WINS, "true": TRUE_WINS}, "met": sound}, indent=2))
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
