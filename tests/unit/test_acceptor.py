"""What takes the incumbent's place: modelled kernels by their profiles, measured ones after a duel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from warpsmith.acceptor import LibraryAcceptor
from warpsmith.agents.state import Attempt
from warpsmith.core.candidate import Candidate
from warpsmith.core.events import Evaluated, Proposed, RunSettings, RunStarted
from warpsmith.core.outcome import Verified, WorkloadCheck
from warpsmith.core.profile import Profile, WorkloadProfile
from warpsmith.core.protocols import Evaluation
from warpsmith.core.quantity import Bound, Duration, Source
from warpsmith.profiler.comparison import LOOKS, PairedBlock, Sample
from warpsmith.store import Store
from warpsmith.tasks import load_task

TINY = Path(__file__).parents[1] / "emulated" / "tiny"
SETTINGS = RunSettings(coder="builtin", judge="builtin", strategy="refine", rounds=3, library="out")
TEXT = (TINY / "scaled_sum.cu").read_text()
NAIVE = Candidate(task="scaled_sum", language="cuda", text=TEXT, knobs={"EACH": 16, "BLOCK": 64})
BETTER = Candidate(task="scaled_sum", language="cuda", text=TEXT, knobs={"EACH": 1, "BLOCK": 64})


@dataclass
class Scales:
    """A GPU on which the challenger takes `1 / speedup` of the incumbent's time."""

    speedup: float
    met: list[tuple[Candidate, Candidate]] = field(default_factory=list)

    def fight(self, incumbent: Candidate, challenger: Candidate, pair: int) -> Sequence[PairedBlock]:
        self.met.append((incumbent, challenger))
        us = 50.0 * (1 + pair * 1e-4)
        slow, fast = (tuple(Sample(time, 1980.0) for _ in range(4)) for time in (us, us / self.speedup))
        return [PairedBlock(pair, slow, fast) for _ in range(5)]


def evaluation(candidate: Candidate, us: float, source: Source) -> Evaluation:
    workload = WorkloadProfile(
        workload="sixteen million",
        duration=Duration(us=us, source=source),
        bound=Bound(us=1, limit="dram", flops=1, bytes=1),
        launches=(),
    )
    profile = Profile(candidate=candidate.identity, target="h200", source=source, workloads=(workload,))
    check = WorkloadCheck(workload="w", seed=1, error=0.1, relative_l2=0.1, largest=0.1)
    return Evaluation(
        candidate=candidate.identity, outcome=Verified(checks=(check,), schedules=2), stages=(), profile=profile
    )


def proposed(store: Store, number: int, candidate: Candidate) -> Proposed:
    digest = store.put_text(candidate.text)
    return Proposed(
        round=number,
        candidate=candidate.identity,
        language="cuda",
        text_digest=digest,
        knobs=candidate.knobs,
        idea="EACH",
        by="builtin",
    )


def acceptor(store: Store, folder: Path, source: Source, duel: Scales | None) -> tuple[LibraryAcceptor, Attempt]:
    """A run whose first kernel is the naive one, and the attempt that wants to be accepted."""
    task = load_task(TINY / "scaled_sum.py")
    settings = SETTINGS.model_copy(update={"library": str(folder / "library")})
    started = RunStarted(
        run="r",
        task=task.name,
        task_path=task.path,
        task_digest=task.source_digest,
        target="h200",
        device="gpu" if source is Source.MEASURED else "emulator",
        settings=settings,
    )
    first = (proposed(store, 1, NAIVE), Evaluated(evaluation=evaluation(NAIVE, 100, source)))
    for at, event in enumerate((started, *first)):
        store.append("r", event, at=at)
    attempt = Attempt(proposed(store, 2, BETTER), BETTER, evaluation(BETTER, 50, source))
    return LibraryAcceptor(started, task, store, duel), attempt


@pytest.fixture
def store(tmp_path: Path, open_store: Callable[[Path], Store]) -> Store:
    return open_store(tmp_path / "store.sqlite")


def test_a_measured_challenger_meets_the_runs_first_kernel(store: Store, tmp_path: Path) -> None:
    scales = Scales(1.3)
    accept, attempt = acceptor(store, tmp_path, Source.MEASURED, scales)
    assert accept(attempt).accepted
    assert [(NAIVE, BETTER)] * LOOKS[0] == scales.met


def test_measured_times_of_two_days_do_not_make_a_win(store: Store, tmp_path: Path) -> None:
    """Its profile says twice as fast; timed side by side it is not."""
    accept, attempt = acceptor(store, tmp_path, Source.MEASURED, Scales(1.0))
    answer = accept(attempt)
    assert not answer.accepted
    assert "not better than the first kernel" in answer.reason
    assert "measured; a win is more than 1.01x" in answer.reason


def test_measured_profiles_without_a_duel_are_our_own_mistake(store: Store, tmp_path: Path) -> None:
    accept, attempt = acceptor(store, tmp_path, Source.MEASURED, None)
    with pytest.raises(ValueError, match="join a Duel"):
        accept(attempt)


def test_a_modelled_challenger_needs_no_duel(store: Store, tmp_path: Path) -> None:
    accept, attempt = acceptor(store, tmp_path, Source.MODELLED, None)
    assert accept(attempt).accepted
