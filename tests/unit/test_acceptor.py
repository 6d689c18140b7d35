"""What takes the incumbent's place: modelled kernels by their profiles, measured ones after a duel."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from warpsmith.acceptor import LibraryAcceptor, shown_name
from warpsmith.agents.state import Attempt
from warpsmith.core.candidate import Candidate
from warpsmith.core.events import Evaluated, Proposed, RunSettings, RunStarted
from warpsmith.core.outcome import Verified, WorkloadCheck
from warpsmith.core.profile import Profile, WorkloadProfile
from warpsmith.core.protocols import Evaluation
from warpsmith.core.quantity import Bound, Duration, Source
from warpsmith.core.task import Task, Workload
from warpsmith.kernels_generated.library import list_entries
from warpsmith.profiler.comparison import LOOKS, PairedBlock, Sample
from warpsmith.profiler.nvml import DeviceState
from warpsmith.profiler.timing import Method, TimedCall, Timing, TimingPlan
from warpsmith.sandbox.device.baseline_child import BaselineAnswer
from warpsmith.sandbox.device.baselines import ratios
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


@dataclass
class Shop:
    """Times libraries: those named take so many microseconds, the others are not installed."""

    times: dict[str, float]
    asked: list[str] = field(default_factory=list)

    def time(self, task: Task, workload: Workload, name: str, seed: int) -> BaselineAnswer:
        self.asked.append(name)
        if name not in self.times:
            return BaselineAnswer(baseline=name, absent="not installed")
        sample = TimedCall(
            input_set=0,
            event_us=self.times[name],
            bracket_us=self.times[name],
            host_us=self.times[name],
            before=DeviceState(),
            after=DeviceState(),
        )
        plan = TimingPlan(method=Method.CALL, sets=1, warm_up=1, samples=9, flush_bytes=1)
        timing = Timing(plan=plan, device="imagined", samples=(sample,) * 9, empty_host_us=0.0, empty_event_us=0.0)
        return BaselineAnswer(baseline=name, timing=timing)


def test_a_measured_kernel_enters_with_its_ratio_to_each_library_that_is_there(store: Store, tmp_path: Path) -> None:
    accept, attempt = acceptor(store, tmp_path, Source.MEASURED, Scales(1.3))
    shop = Shop({"torch eager": 200.0})
    timed = replace(accept, baselines=lambda profile: ratios(shop, accept.task, profile))
    answer = timed(attempt)
    assert answer.accepted
    (entry,) = list_entries(tmp_path / "library").entries
    assert {"torch eager": pytest.approx(4.0)} == entry.manifest.baselines
    assert ["torch eager", "torch.compile"] == shop.asked


def test_a_modelled_kernel_has_no_ratio_to_a_measured_library(store: Store, tmp_path: Path) -> None:
    accept, attempt = acceptor(store, tmp_path, Source.MODELLED, None)
    timed = replace(accept, baselines=lambda profile: ratios(Shop({}), accept.task, profile))
    assert timed(attempt).accepted
    (entry,) = list_entries(tmp_path / "library").entries
    assert {} == entry.manifest.baselines
    profile = attempt.profile
    assert profile is not None
    with pytest.raises(ValueError, match="no ratio"):
        ratios(Shop({}), accept.task, profile)


def test_measured_times_of_two_days_do_not_make_a_win(store: Store, tmp_path: Path) -> None:
    """Its profile says twice as fast; timed side by side it is not."""
    accept, attempt = acceptor(store, tmp_path, Source.MEASURED, Scales(1.0))
    answer = accept(attempt)
    assert not answer.accepted
    assert "not better than the first kernel" in answer.reason
    assert "measured; a win is more than 1.01x" in answer.reason


def _kill_at(number: int) -> None:
    """From now on the process dies at its so-many-th rename, fsync or commit, like at a loss of power."""
    left = [number]

    def deadly(call: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **how: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **how)

        return counted

    os.fsync = deadly(os.fsync)  # type: ignore[assignment]
    Path.rename = deadly(Path.rename)  # type: ignore[assignment,method-assign]
    Store.swap_incumbent = deadly(Store.swap_incumbent)  # type: ignore[assignment,method-assign]


def _accept_and_die(folder: Path, number: int) -> None:
    with Store.open(folder / "store.sqlite") as store:
        accept, attempt = acceptor(store, folder, Source.MODELLED, None)
        _kill_at(number)
        accept(attempt)


def test_an_acceptance_that_is_killed_at_any_step_is_completed_by_the_next_try(tmp_path: Path) -> None:
    """Three files, the folder's name, the incumbent: whatever was done before the kill is used or written anew."""
    context = multiprocessing.get_context("fork")
    ends = []
    for number in range(1, 8):
        folder = tmp_path / str(number)
        folder.mkdir()
        dying = context.Process(target=_accept_and_die, args=(folder, number))
        dying.start()
        dying.join()
        ends.append(dying.exitcode)
        with Store.open(folder / "store.sqlite") as store:
            task = load_task(TINY / "scaled_sum.py")
            started = store.events("r")[0]
            assert isinstance(started, RunStarted)
            accept = LibraryAcceptor(started, task, store)
            answer = accept(Attempt(proposed(store, 2, BETTER), BETTER, evaluation(BETTER, 50, Source.MODELLED)))
            assert answer.accepted
            listing = list_entries(folder / "library")
            assert ([answer.kernel], ()) == ([entry.digest for entry in listing.entries], listing.refused)
            assert listing.entries[0].evaluation() is not None
            standing = store.incumbent(task.name, task.source_digest, "h200", Source.MODELLED)
            assert standing is not None
            assert (answer.kernel, answer.path) == (standing.kernel, standing.path)
            store.integrity_check()
    assert [-signal.SIGKILL] * 5 + [0, 0] == ends


def test_measured_profiles_without_a_duel_are_our_own_mistake(store: Store, tmp_path: Path) -> None:
    accept, attempt = acceptor(store, tmp_path, Source.MEASURED, None)
    with pytest.raises(ValueError, match="join a Duel"):
        accept(attempt)


def test_a_modelled_challenger_needs_no_duel(store: Store, tmp_path: Path) -> None:
    accept, attempt = acceptor(store, tmp_path, Source.MODELLED, None)
    assert accept(attempt).accepted


@pytest.mark.parametrize(
    ("choice", "shown"),
    [
        ("handoff:/home/me/desk@claude", "handoff:claude"),
        ("handoff:/home/me/desk", "handoff:desk"),
        ("scripted:/home/me/replies", "scripted:replies"),
        ("openai:m@http://localhost:8000/v1", "openai:m@http://localhost:8000/v1"),
        ("builtin", "builtin"),
    ],
)
def test_a_kernel_names_its_writer_and_no_folder_of_the_machine(choice: str, shown: str) -> None:
    assert shown == shown_name(choice)
