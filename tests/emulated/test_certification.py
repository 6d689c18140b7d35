"""`warpsmith library verify`: what passes the gate again is renewed, what fails is refused from then on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from warpsmith import app
from warpsmith.certification import Standing, certify, standings
from warpsmith.core.candidate import Candidate
from warpsmith.core.errors import LibraryError, SettingsError
from warpsmith.core.protocols import Circumstances, Evaluation
from warpsmith.core.quantity import Source
from warpsmith.core.task import Task
from warpsmith.kernels_generated.accept import write_kernel
from warpsmith.kernels_generated.library import read_entry
from warpsmith.kernels_generated.manifest import Lineage
from warpsmith.kernels_generated.serving import find
from warpsmith.store import Incumbent, Store
from warpsmith.tasks.load import load_task

pytestmark = pytest.mark.usefixtures("nothing_ships")

TINY = Path(__file__).parent / "tiny"
LINEAGE = Lineage(run="r", coder="builtin", judge="builtin", strategy="refine", rounds=1)
OLD = Circumstances(gate="0", jail="landlock")


@dataclass(frozen=True)
class Shelf:
    """A library of one task, the store beside it, and one honest evaluation to fill it with."""

    library: Path
    store: Path
    task: Task
    honest: Candidate
    evaluation: Evaluation

    def put(self, candidate: Candidate, circumstances: Circumstances = OLD) -> Path:
        """Enter a candidate with the honest one's evidence, as if an older gate had let it pass."""
        profile = self.evaluation.profile
        assert profile is not None
        forged = self.evaluation.model_copy(
            update={
                "candidate": candidate.identity,
                "profile": profile.model_copy(update={"candidate": candidate.identity}),
                "circumstances": circumstances,
            }
        )
        return write_kernel(self.library, candidate, forged, task=self.task, lineage=LINEAGE)


@pytest.fixture(scope="module")
def judged() -> tuple[Task, Candidate, Evaluation]:
    task = load_task(TINY / "scaled_sum.py")
    honest = Candidate(
        task="scaled_sum",
        language="cuda",
        text=(TINY / "scaled_sum.cu").read_text(),
        knobs={"EACH": 1, "BLOCK": 64},
    )
    evaluation = app.gate(task, arch="h200").evaluate(honest, seed=1)
    assert evaluation.profile is not None
    return task, honest, evaluation


@pytest.fixture
def shelf(tmp_path: Path, judged: tuple[Task, Candidate, Evaluation]) -> Shelf:
    return Shelf(tmp_path / "library", tmp_path / "store.sqlite", *judged)


def test_a_verdict_tells_what_it_was_given_under(shelf: Shelf) -> None:
    met = shelf.evaluation.circumstances
    assert met.gate
    assert met.jail in ("bubblewrap", "landlock", "rlimits")
    assert ("", "") == (met.device, met.driver)


def test_a_stale_kernel_that_passes_again_is_served_again(shelf: Shelf) -> None:
    folder = shelf.put(shelf.honest)
    before = read_entry(folder)
    profile = shelf.evaluation.profile
    assert profile is not None
    standing = Incumbent(
        task="scaled_sum",
        task_digest=shelf.task.source_digest,
        candidate=shelf.honest.identity,
        kernel=before.digest,
        path=str(folder),
        profile=profile,
    )
    with Store.open(shelf.store) as store:
        assert store.swap_incumbent(standing, expected=None)
    (listed,) = standings(shelf.library, "scaled_sum")
    assert (Standing.STALE, True) == (listed.standing, "edition 0" in listed.reason)
    (report,) = certify(shelf.library, shelf.store, "scaled_sum")
    assert Standing.CERTIFIED is report.standing
    after = read_entry(Path(report.path))
    assert (before.manifest.created, LINEAGE) == (after.manifest.created, after.manifest.lineage)
    assert after.manifest.certified is not None
    assert [Standing.CURRENT] == [item.standing for item in standings(shelf.library, "scaled_sum")]
    served, _ = find(str(TINY / "scaled_sum.py"), None, (shelf.library,))
    assert [after.digest] == [entry.digest for entry in served]
    assert [] == list(certify(shelf.library, shelf.store, "scaled_sum", stale=True))
    with Store.open(shelf.store) as store:
        kept = store.incumbent("scaled_sum", shelf.task.source_digest, "h200", Source.MODELLED)
    assert kept is not None
    assert Path(kept.path).is_dir()


def test_a_kernel_that_another_compiler_judged_moves_to_its_new_name(shelf: Shelf) -> None:
    shelf_of_then = Shelf(
        shelf.library,
        shelf.store,
        shelf.task,
        shelf.honest,
        shelf.evaluation.model_copy(update={"toolchain": "nvrtc 12.9.86"}),
    )
    old = shelf_of_then.put(shelf.honest, shelf.evaluation.circumstances)
    (report,) = certify(shelf.library, shelf.store, stale=True)
    assert Standing.CERTIFIED is report.standing
    assert not old.exists()
    assert [Path(report.path)] == list(shelf.library.glob("*/*"))
    assert read_entry(Path(report.path)).manifest.toolchain == shelf.evaluation.toolchain


def test_a_kernel_that_fails_is_refused_from_then_on(shelf: Shelf) -> None:
    wrong = shelf.honest.model_copy(update={"text": shelf.honest.text.replace("A * x[i]", "A + x[i]")})
    assert wrong.text != shelf.honest.text
    folder = shelf.put(wrong, shelf.evaluation.circumstances)
    assert read_entry(folder).candidate == wrong
    (report,) = certify(shelf.library, shelf.store, wrong.identity[:12])
    assert (Standing.REVOKED, True) == (report.standing, report.reason.startswith("Wrong"))
    with pytest.raises(LibraryError, match="failed when it was judged again: Wrong"):
        read_entry(folder)
    assert [Standing.REFUSED] == [item.standing for item in standings(shelf.library)]
    with pytest.raises(LibraryError, match="failed when it was judged again"):
        find(str(TINY / "scaled_sum.py"), None, (shelf.library,))


def test_measured_times_are_not_renewed_without_a_gpu(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    profile = shelf.evaluation.profile
    assert profile is not None
    workloads = tuple(
        item.model_copy(update={"duration": item.duration.model_copy(update={"source": Source.MEASURED})})
        for item in profile.workloads
    )
    measured = profile.model_copy(update={"source": Source.MEASURED, "workloads": workloads})
    seen = shelf.evaluation.model_copy(update={"profile": measured, "circumstances": OLD})
    write_kernel(shelf.library, shelf.honest, seen, task=shelf.task, lineage=LINEAGE)
    (report,) = certify(shelf.library, shelf.store)
    assert Standing.UNDECIDED is report.standing
    assert report.reason


def test_a_name_that_nothing_answers_to_is_an_error(shelf: Shelf) -> None:
    with pytest.raises(SettingsError, match="no kernel or task of the library is called sum"):
        list(standings(shelf.library, "sum"))
