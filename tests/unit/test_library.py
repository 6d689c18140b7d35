"""The library on disk: written whole, read back, and refused once it was touched."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from warpsmith.core.artifact import Resources
from warpsmith.core.candidate import Candidate
from warpsmith.core.counters import LaunchCounters
from warpsmith.core.digest import digest_json
from warpsmith.core.errors import LibraryError
from warpsmith.core.outcome import Outcome, Stage, Verified, WorkloadCheck, Wrong
from warpsmith.core.profile import LaunchProfile, Occupancy, Profile, WorkloadProfile
from warpsmith.core.protocols import Circumstances, Evaluation
from warpsmith.core.quantity import Bound, Duration, Source
from warpsmith.core.task import Task
from warpsmith.kernels_generated.accept import write_kernel
from warpsmith.kernels_generated.library import best_entries, list_entries, read_entry
from warpsmith.kernels_generated.manifest import Ancestor, Lineage
from warpsmith.kernels_generated.places import search_path
from warpsmith.kernels_generated.summary import summary_of
from warpsmith.leaderboard import make_boards
from warpsmith.tasks.load import load_task

LINEAGE = Lineage(
    run="r1",
    coder="builtin",
    judge="builtin",
    strategy="refine",
    rounds=3,
    ancestors=(Ancestor(candidate="a" * 64, change="seed naive.cu", by="builtin"),),
)
VERIFIED = Verified(
    checks=(WorkloadCheck(workload="one row", seed=7, error=0.5, relative_l2=1e-4, largest=1e-3),), schedules=2
)


@pytest.fixture(scope="module")
def task() -> Task:
    return load_task("w4a16_gemm")


def candidate(text: str = "// kernel\n", **knobs: int) -> Candidate:
    return Candidate(task="w4a16_gemm", language="cuda", text=text, knobs=knobs)


def profile(of: Candidate, *times: float, target: str = "h200", source: Source = Source.MODELLED) -> Profile:
    workloads = tuple(
        WorkloadProfile(
            workload=f"w{index}",
            duration=Duration(us=time, source=source),
            bound=Bound(us=2.0, limit="dram", flops=1.0, bytes=1.0),
            launches=(_launch(time, source),),
        )
        for index, time in enumerate(times)
    )
    return Profile(candidate=of.identity, target=target, source=source, workloads=workloads)


def _launch(time: float, source: Source) -> LaunchProfile:
    return LaunchProfile(
        kernel="gemm",
        duration=Duration(us=time, source=source),
        limits={"dram": time},
        limiter="dram",
        occupancy=Occupancy(blocks_per_sm=1, warps_per_sm=4, max_warps=64, limiter="grid"),
        waves=1.0,
        resources=Resources(registers=32, static_shared=0),
        counters=LaunchCounters(
            source=Source.EMULATED,
            kernel="gemm",
            grid_blocks=1,
            block_threads=128,
            blocks_counted=1,
            warp_instructions={"fma": 1.0},
            thread_instructions=32.0,
        ),
    )


def evaluation(of: Candidate, *times: float, outcome: Outcome = VERIFIED, **how: object) -> Evaluation:
    return Evaluation(
        candidate=of.identity,
        outcome=outcome,
        stages=(),
        profile=profile(of, *(times or (4.0, 4.0)), **how),  # type: ignore[arg-type]
        toolchain="nvrtc 13.0.88",
    )


def accept(library: Path, task: Task, of: Candidate, *times: float, **how: object) -> Path:
    return write_kernel(library, of, evaluation(of, *times, **how), task=task, lineage=LINEAGE)


def test_an_accepted_kernel_reads_back_as_it_was_written(tmp_path: Path, task: Task) -> None:
    text = "// kernel — with ü\r\nint x;\n"
    folder = accept(tmp_path, task, candidate(text, BM=8), 4.0, 8.0)
    entry = read_entry(folder)
    assert (text, {"BM": 8}, "cuda") == (entry.text, entry.manifest.knobs, entry.manifest.language)
    assert candidate(text, BM=8) == entry.candidate
    assert folder == tmp_path / "w4a16_gemm" / entry.digest[:12]
    assert [0.5, 0.25] == [item.fraction for item in entry.manifest.workloads]
    assert pytest.approx(0.125**0.5) == entry.manifest.fraction
    assert (VERIFIED, LINEAGE) == (entry.manifest.evidence, entry.manifest.lineage)
    assert "" == entry.manifest.task_path


def test_writing_a_kernel_twice_changes_nothing(tmp_path: Path, task: Task) -> None:
    first = accept(tmp_path, task, candidate())
    before = (first / "kernel.json").stat().st_mtime_ns
    assert first == accept(tmp_path, task, candidate())
    assert before == (first / "kernel.json").stat().st_mtime_ns
    assert [first] == list(tmp_path.glob("*/*"))


def test_a_broken_folder_is_replaced_by_the_kernel_it_should_hold(tmp_path: Path, task: Task) -> None:
    folder = accept(tmp_path, task, candidate())
    (folder / "kernel.cu").write_text("torn")
    assert folder == accept(tmp_path, task, candidate())
    assert "// kernel\n" == read_entry(folder).text
    assert [folder] == list(tmp_path.glob("*/*"))


def test_targets_sources_and_knobs_lie_side_by_side(tmp_path: Path, task: Task) -> None:
    folders = {
        accept(tmp_path, task, candidate()),
        accept(tmp_path, task, candidate(), target="a100"),
        accept(tmp_path, task, candidate(), source=Source.MEASURED),
        accept(tmp_path, task, candidate(BM=16)),
    }
    assert 4 == len(folders)
    assert 4 == len(list_entries(tmp_path).entries)


def test_only_a_verified_candidate_of_the_task_enters(tmp_path: Path, task: Task) -> None:
    wrong = Wrong(stage=Stage.COMPARE, message="off by one")
    with pytest.raises(ValueError, match="not Wrong"):
        accept(tmp_path, task, candidate(), outcome=wrong)
    other = evaluation(candidate("// another\n"))
    with pytest.raises(ValueError, match="do not belong"):
        write_kernel(tmp_path, candidate(), other, task=task, lineage=LINEAGE)
    assert [] == list(tmp_path.iterdir())


def test_an_unwritable_library_is_an_error_with_a_remedy(tmp_path: Path, task: Task) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(LibraryError, match="cannot be written") as caught:
        accept(tmp_path / "file", task, candidate())
    assert "--library" in caught.value.remedy


def edit_text(folder: Path) -> None:
    (folder / "kernel.cu").write_text("// kernel, improved\n")


def edit_time(folder: Path) -> None:
    manifest = json.loads((folder / "kernel.json").read_text())
    manifest["manifest"]["workloads"][0]["time_us"] = 0.1
    (folder / "kernel.json").write_text(json.dumps(manifest))


def remove_text(folder: Path) -> None:
    (folder / "kernel.cu").unlink()


def cut_manifest(folder: Path) -> None:
    text = (folder / "kernel.json").read_text()
    (folder / "kernel.json").write_text(text[: len(text) // 2])


def age_manifest(folder: Path) -> None:
    manifest = json.loads((folder / "kernel.json").read_text())
    manifest["manifest"]["schema_version"] = 99
    (folder / "kernel.json").write_text(json.dumps(manifest))


def empty_manifest(folder: Path) -> None:
    (folder / "kernel.json").write_text("[]")


def as_schema_1(folder: Path) -> None:
    """The manifest as the first schema had it: sealed over its own words."""
    content = json.loads((folder / "kernel.json").read_text())["manifest"]
    newer = {"circumstances", "proofs", "evaluation_digest", "verdict_digest", "profile_digest", "certified"}
    older = {name: value for name, value in content.items() if name not in newer} | {"schema_version": 1}
    del older["lineage"]["cost"]
    (folder / "kernel.json").write_text(json.dumps({"digest": digest_json(older), "manifest": older}))
    (folder / "evaluation.json").unlink()


def test_a_manifest_of_the_first_schema_is_read_and_tells_no_more_than_it_knew(tmp_path: Path, task: Task) -> None:
    folder = accept(tmp_path, task, candidate(BM=8), 4.0, 8.0)
    newer = read_entry(folder)
    as_schema_1(folder)
    older = read_entry(folder)
    assert (newer.digest, newer.manifest.workloads) == (older.digest, older.manifest.workloads)
    assert (older.manifest.circumstances.gate, older.manifest.lineage.cost) == ("", None)
    assert older.manifest.verdict_digest == newer.manifest.verdict_digest
    assert older.evaluation() is None
    edit_time(folder)
    with pytest.raises(LibraryError, match="was changed after it was accepted"):
        read_entry(folder)


def test_the_whole_evaluation_lies_beside_the_kernel(tmp_path: Path, task: Task) -> None:
    of = candidate()
    entry = read_entry(accept(tmp_path, task, of))
    found = entry.evaluation()
    assert found == evaluation(of)
    assert found is not None
    assert found.profile is not None
    assert found.profile.digest() == entry.manifest.profile_digest
    assert found.outcome.digest() == entry.manifest.verdict_digest


def test_an_evaluation_that_was_edited_or_lost_is_refused_and_written_anew(tmp_path: Path, task: Task) -> None:
    folder = accept(tmp_path, task, candidate())
    path = folder / "evaluation.json"
    sound = path.read_text()
    for damage in (sound.replace("4.0", "0.4"), None):
        path.unlink() if damage is None else path.write_text(damage)
        with pytest.raises(LibraryError, match=r"was changed after|cannot be read"):
            read_entry(folder).evaluation()
        assert folder == accept(tmp_path, task, candidate())
        assert sound == path.read_text()


def test_a_manifest_names_its_proofs_by_source(tmp_path: Path, task: Task) -> None:
    modelled = read_entry(accept(tmp_path, task, candidate())).manifest
    assert [("verdict", "emulated"), ("counters", "emulated"), ("times", "modelled")] == [
        (proof.what, proof.source.value) for proof in modelled.proofs
    ]
    of = candidate("// on a GPU\n")
    seen = evaluation(of, 3.0, source=Source.MEASURED).model_copy(
        update={"circumstances": Circumstances(gate="1", device="NVIDIA H200", driver="580.95.05")}
    )
    measured = read_entry(write_kernel(tmp_path, of, seen, task=task, lineage=LINEAGE)).manifest
    assert [("verdict", "NVIDIA H200, driver 580.95.05"), ("times", "NVIDIA H200, driver 580.95.05")] == [
        (proof.what, proof.where) for proof in measured.proofs if proof.source is Source.MEASURED
    ]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (edit_text, "was changed after it was accepted"),
        (edit_time, "was changed after it was accepted"),
        (remove_text, "cannot be read"),
        (cut_manifest, "is no kernel manifest"),
        (age_manifest, "has schema 99"),
        (empty_manifest, "is no kernel manifest"),
    ],
)
def test_a_touched_kernel_is_refused_with_the_reason(tmp_path: Path, task: Task, damage: object, reason: str) -> None:
    good, bad = accept(tmp_path, task, candidate()), accept(tmp_path, task, candidate("// other\n"))
    assert callable(damage)
    damage(bad)
    listing = list_entries(tmp_path)
    assert [good] == [entry.folder for entry in listing.entries]
    (refusal,) = listing.refused
    assert bad == refusal.folder
    assert reason in refusal.reason


def test_an_absent_library_is_empty_and_the_shipped_one_comes_last(tmp_path: Path) -> None:
    assert () == list_entries(tmp_path / "none").entries
    assert tmp_path == search_path(tmp_path)[0]
    shipped = search_path(None)
    assert shipped == search_path(shipped[0])


def test_a_library_may_be_moved(tmp_path: Path, task: Task) -> None:
    digest = read_entry(accept(tmp_path / "old", task, candidate())).digest
    shutil.move(tmp_path / "old", tmp_path / "new")
    assert [digest] == [entry.digest for entry in list_entries(tmp_path / "new").entries]


def test_the_best_kernel_is_the_one_nearest_the_bound_of_its_kind(tmp_path: Path, task: Task) -> None:
    accept(tmp_path, task, candidate("// slow\n"), 8.0, 8.0)
    fast = accept(tmp_path, task, candidate("// fast\n"), 4.0, 5.0)
    measured = accept(tmp_path, task, candidate("// slow\n"), 9.0, 9.0, source=Source.MEASURED)
    other = accept(tmp_path, task, candidate("// slow\n"), 20.0, 20.0, target="a100")
    best = {entry.folder for entry in best_entries(list_entries(tmp_path).entries)}
    assert {fast, measured, other} == best


def test_boards_never_mix_sources_or_targets_and_rank_by_fraction(tmp_path: Path, task: Task) -> None:
    slow = accept(tmp_path, task, candidate("// slow\n"), 8.0)
    fast = accept(tmp_path, task, candidate("// fast\n"), 4.0)
    accept(tmp_path, task, candidate("// fast\n"), 3.0, source=Source.MEASURED)
    accept(tmp_path, task, candidate("// fast\n"), 3.0, target="a100")
    kernels = [summary_of(entry) for entry in list_entries(tmp_path).entries]
    boards = make_boards([*kernels, *kernels])
    assert [("a100", "modelled", 1), ("h200", "measured", 1), ("h200", "modelled", 2)] == [
        (board.target, board.source, len(board.places)) for board in boards
    ]
    assert [(0.5, fast), (0.25, slow)] == [(place.fraction, place.folder) for place in boards[2].places]
    assert [1, 2] == [place["rank"] for place in boards[2].to_json()["places"]]


def test_a_manifest_keeps_the_moment_it_was_made(tmp_path: Path, task: Task) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    of = candidate()
    folder = write_kernel(tmp_path, of, evaluation(of), task=task, lineage=LINEAGE, created=moment)
    assert moment == read_entry(folder).manifest.created
