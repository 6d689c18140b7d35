"""The index of a library: quick where nothing changed, and never believed over what the files say now."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.emulated.accepted import LINEAGE, evaluation
from warpsmith.core.candidate import Candidate
from warpsmith.core.task import Task
from warpsmith.kernels_generated import index
from warpsmith.kernels_generated.accept import write_kernel
from warpsmith.kernels_generated.index import read_index
from warpsmith.kernels_generated.places import SHIPPED
from warpsmith.kernels_generated.shelf import read_shelf
from warpsmith.sandbox.compile.present import present_compiler
from warpsmith.tasks.load import load_task


@pytest.fixture(scope="module")
def task() -> Task:
    return load_task("w4a16_gemm")


@pytest.fixture
def library(tmp_path: Path, task: Task) -> Path:
    for number in range(3):
        write(tmp_path / "library", task, number)
    return tmp_path / "library"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were written just now count as old."""
    monkeypatch.setattr(index, "SETTLED_SECONDS", -60.0)


def write(library: Path, task: Task, number: int, **how: object) -> Path:
    of = Candidate(task=task.name, language="cuda", text=f"// kernel {number}\n", knobs={})
    judged = evaluation(of, toolchain=present_compiler("cuda"), **how)  # type: ignore[arg-type]
    return write_kernel(library, of, judged, task=task, lineage=LINEAGE)


def read_entries(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders that are read whole from now on."""
    from warpsmith.kernels_generated import library

    read, real = list[Path](), library.read_entry
    monkeypatch.setattr(library, "read_entry", lambda folder: (read.append(folder), real(folder))[1])
    return read


def test_a_second_listing_reads_no_kernel_again(library: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_index(library, cache)
    read = read_entries(monkeypatch)
    assert first == read_index(library, cache)
    assert (3, []) == (len(first.kernels), read)


def test_a_new_kernel_is_read_alone_and_a_removed_one_goes(
    library: Path, cache: Path, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_index(library, cache)
    folder = write(library, task, 9)
    read = read_entries(monkeypatch)
    assert 4 == len(read_index(library, cache).kernels)
    assert [folder] == read
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert 3 == len(read_index(library, cache).kernels)


def faster(folder: Path) -> None:
    path = folder / "kernel.json"
    path.write_text(path.read_text().replace('"time_us": 4.0', '"time_us": 2.1'))


def faster_in_the_same_second(folder: Path) -> None:
    """The edit keeps size, inode and, as far as a program can set it, the time."""
    path = folder / "kernel.json"
    before = path.stat()
    with path.open("r+") as file:
        text = file.read().replace('"time_us": 4.0', '"time_us": 2.0')
        file.seek(0)
        file.write(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def other_text(folder: Path) -> None:
    (folder / "kernel.cu").write_text("// kernel X\n")


def other_evidence(folder: Path) -> None:
    path = folder / "evaluation.json"
    path.write_text(path.read_text().replace("4.0", "2.0"))


def revoked(folder: Path) -> None:
    (folder / "revoked.json").write_text('{"outcome": "Wrong", "reason": "ragged N", "at": "now"}')


def no_evidence(folder: Path) -> None:
    (folder / "evaluation.json").unlink()


@pytest.mark.parametrize(
    "damage", [faster, faster_in_the_same_second, other_text, other_evidence, revoked, no_evidence]
)
def test_an_entry_that_was_touched_after_it_was_indexed_is_refused(
    library: Path, cache: Path, damage: Callable[[Path], None]
) -> None:
    before = read_index(library, cache)
    damage(before.kernels[1].folder)
    for _ in range(2):
        after = read_index(library, cache)
        assert [before.kernels[0], before.kernels[2]] == list(after.kernels)
        assert [before.kernels[1].folder] == [item.folder for item in after.refused]


def test_a_file_that_may_still_be_changing_is_read_again(
    library: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "SETTLED_SECONDS", 3.0)
    read_index(library, cache)
    read = read_entries(monkeypatch)
    read_index(library, cache)
    assert 3 == len(read)


def test_a_second_kernel_file_beside_the_first_keeps_the_entry_out_of_the_index(
    library: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder, *_) = (kernel.folder for kernel in read_index(library, cache).kernels)
    (folder / "kernel.py").write_text("")
    read_index(library, cache)
    read = read_entries(monkeypatch)
    read_index(library, cache)
    assert [folder] == read


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def edit(path: Path) -> None:
    """Somebody promotes a kernel in the index itself."""
    path.write_bytes(path.read_bytes().replace(b'"fraction": 0.5', b'"fraction": 0.9'))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other_rules(path: Path) -> None:
    head, _, body = path.read_bytes().partition(b"\n")
    path.write_bytes(json.dumps({**json.loads(head), "rules": "older"}).encode() + b"\n" + body)


@pytest.mark.parametrize("damage", [truncate, edit, empty, other_rules])
def test_a_damaged_index_is_made_anew(library: Path, cache: Path, damage: Callable[[Path], None]) -> None:
    sound = read_index(library, cache)
    (path,) = (cache / "library-index").iterdir()
    kept = path.read_bytes()
    damage(path)
    assert kept != path.read_bytes()
    assert sound == read_index(library, cache)
    assert kept == path.read_bytes()


def test_a_cache_that_cannot_be_written_changes_nothing(library: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert 3 == len(read_index(library, tmp_path / "file").kernels)


def test_an_absent_library_is_empty(tmp_path: Path) -> None:
    assert ((), ()) == (
        read_index(tmp_path / "none", tmp_path).kernels,
        read_index(tmp_path / "none", tmp_path).refused,
    )


def test_readers_and_a_writer_at_once_never_see_an_unsound_or_half_written_kernel(
    tmp_path: Path, cache: Path, task: Task
) -> None:
    """The index is renamed into place: one process's rows never mix with another's."""
    library, found, until = tmp_path / "library", list[int](), time.monotonic() + 1.0

    def read() -> None:
        while time.monotonic() < until:
            indexed = read_index(library, cache)
            assert () == indexed.refused
            found.append(len(indexed.kernels))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(12):
        write(library, task, number)
    for reader in readers:
        reader.join()
    assert 12 == len(read_index(library, cache).kernels)
    assert 12 >= max(found)
    assert [path.name for path in (cache / "library-index").iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("how", "why"),
    [({"gate": "0"}, "edition 0 of the gate"), ({"gate": ""}, "before editions"), ({}, "")],
)
def test_a_stale_kernel_is_not_among_those_to_rank(
    tmp_path: Path, cache: Path, task: Task, how: dict[str, str], why: str
) -> None:
    write(tmp_path / "library", task, 1, **how)
    for _ in range(2):
        shelf = read_shelf([tmp_path / "library"], cache)
        assert [bool(why)] == [len(shelf.stale) == 1]
        assert (0 if why else 1) == len(shelf.kernels)
        assert all(why in item.reason for item in shelf.stale)


def test_a_kernel_whose_task_has_changed_is_stale_without_the_task_being_run(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = load_task("w4a16_gemm")
    path = tmp_path / "mine.py"
    path.write_text(Path(shipped.path).read_text().replace('"w4a16_gemm"', '"mine"'))
    mine = load_task(path)
    write(tmp_path / "library", mine, 1)
    assert 1 == len(read_shelf([tmp_path / "library"], cache).kernels)
    monkeypatch.setattr("warpsmith.tasks.load.load_task", None)
    path.write_text(path.read_text() + "# changed\n")
    (stale,) = read_shelf([tmp_path / "library"], cache).stale
    assert "mine has changed" in stale.reason
    path.unlink()
    (gone,) = read_shelf([tmp_path / "library"], cache).stale
    assert "no such task file" in gone.reason


def test_what_ships_is_sound_and_ranked(tmp_path: Path) -> None:
    shelf = read_shelf([SHIPPED], tmp_path)
    assert ((), ()) == (shelf.stale, shelf.refused)
    assert shelf.kernels
