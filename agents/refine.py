"""CudaForge's chain (arXiv 2511.01884), with the best kept and a regression reverted."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from statistics import geometric_mean

from warpsmith.agents.protocols import Improve, Move, Start, Stop
from warpsmith.agents.state import Attempt, RunState, fastest
from warpsmith.core.acceptance import RESOLUTION
from warpsmith.core.events import StopReason
from warpsmith.core.outcome import Inconclusive, Unsupported
from warpsmith.core.profile import Profile

NEAR_BOUND = 0.9
"""Share of the speed of light beyond which a modelled time has nothing left to tell."""

MENDS = 2
"""Failures in a row that are worth a correction before going back to the best."""


@dataclass(frozen=True, slots=True)
class Refine:
    """Mend a fresh failure a few times, else improve the best verified kernel. Ends on rounds, bound or plateau."""

    name: str = "refine"

    def select(self, state: RunState) -> Move | Stop:
        """Choose the parent of the next round."""
        settings = state.run.settings
        best = state.best
        if best and best.profile and bound_fraction(best.profile) >= NEAR_BOUND:
            return Stop(StopReason.BOUND)
        if state.rounds >= settings.rounds:
            return Stop(StopReason.ROUNDS)
        if on_plateau(state.settled, settings.patience):
            return Stop(StopReason.PLATEAU)
        parent = mendable(state) or best or (state.settled[-1] if state.settled else None)
        return Improve(parent) if parent else Start()


def mendable(state: RunState) -> Attempt | None:
    """The last attempt, where it failed by its own fault, fewer than MENDS failures preceded it and nobody mends it."""
    failures = list(takewhile(lambda attempt: attempt.profile is None, reversed(state.settled)))
    if not 1 <= len(failures) <= MENDS or failures[0].identity in {it.parent for it in state.chosen}:
        return None
    evaluation = failures[0].evaluation
    nobody_to_blame = evaluation is not None and isinstance(evaluation.outcome, Unsupported | Inconclusive)
    return None if nobody_to_blame else failures[0]


def bound_fraction(profile: Profile) -> float:
    """Geometric mean over workloads of bound over time; 1 is the speed of light."""
    return geometric_mean([item.fraction for item in profile.workloads])


def on_plateau(attempts: tuple[Attempt, ...], patience: int) -> bool:
    """Whether the last `patience` rounds together gained no more than the resolution over the best before them."""
    before, now = fastest(attempts[:-patience]), fastest(attempts)
    if before is None or now is None or before.profile is None or now.profile is None:
        return False
    return now.profile.speedup_over(before.profile) <= 1 + RESOLUTION[now.profile.source]
