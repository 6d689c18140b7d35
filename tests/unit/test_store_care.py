"""A store outlives old versions, damage, full disks, read-only folders and two writers; nothing recorded is lost."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from warpsmith.cli.program import run
from warpsmith.core.errors import StoreError
from warpsmith.core.events import Abandoned, Proposed, RunSettings, RunStarted
from warpsmith.core.profile import Profile, WorkloadProfile
from warpsmith.core.quantity import Bound, Duration, Source
from warpsmith.store import Incumbent, Store, schema
from warpsmith.store.archive import read_archive, reading, write_archive
from warpsmith.store.inspection import inspect
from warpsmith.store.runs import SUMMARIES

Opener = Callable[[Path], Store]
SETTINGS = RunSettings(coder="builtin", judge="builtin", strategy="refine", rounds=3, library="out")

VERSION_1 = """
CREATE TABLE runs (position INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL UNIQUE, task TEXT NOT NULL,
    target TEXT NOT NULL, device TEXT NOT NULL) STRICT;
CREATE TABLE events (run TEXT NOT NULL REFERENCES runs (run), seq INTEGER NOT NULL CHECK (seq >= 0), kind TEXT NOT NULL,
    payload TEXT NOT NULL, recorded_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (run, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE texts (digest TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT;
CREATE TABLE incumbents (task TEXT NOT NULL, task_digest TEXT NOT NULL, target TEXT NOT NULL, source TEXT NOT NULL,
    candidate TEXT NOT NULL, kernel TEXT NOT NULL, payload TEXT NOT NULL,
    PRIMARY KEY (task, task_digest, target, source)) STRICT;
PRAGMA application_id = 2004053364;
PRAGMA user_version = 1;
"""
"""What the first version of the store wrote."""


def started(run: str) -> RunStarted:
    return RunStarted(run=run, task="t", task_digest="d", target="h200", device="emulator", settings=SETTINGS)


def proposed(digest: str, number: int = 1) -> Proposed:
    return Proposed(round=number, candidate="c", language="cuda", text_digest=digest, idea="seed", by="builtin")


def incumbent(path: str) -> Incumbent:
    workload = WorkloadProfile(
        workload="w",
        duration=Duration(us=5, source=Source.MODELLED),
        bound=Bound(us=1, limit="dram", flops=1, bytes=1),
        launches=(),
    )
    profile = Profile(candidate="c", target="h200", source=Source.MODELLED, workloads=(workload,))
    return Incumbent(task="t", task_digest="d", candidate="c", kernel="k1", path=path, profile=profile)


def fill(store: Store, *runs: str) -> None:
    for name in runs:
        store.append(name, started(name), at=0)
        store.append(name, proposed(store.put_text(f"// kernel of {name}\n")), at=1)
    assert store.swap_incumbent(incumbent("out/k1"), expected=None)


@pytest.fixture
def store(tmp_path: Path, open_store: Opener) -> Store:
    return open_store(tmp_path / "store.sqlite")


def old_store(path: Path) -> None:
    with sqlite3.connect(path) as old:
        old.executescript(VERSION_1)
        old.execute("INSERT INTO runs (run, task, target, device) VALUES ('r', 't', 'h200', 'emulator')")
        old.execute(
            "INSERT INTO events (run, seq, kind, payload) VALUES ('r', 0, 'RunStarted', ?)",
            (started("r").model_dump_json(),),
        )
    old.close()


def test_a_store_of_the_first_version_is_brought_up_to_date_with_all_it_holds(
    tmp_path: Path, open_store: Opener
) -> None:
    old_store(tmp_path / "old.sqlite")
    store = open_store(tmp_path / "old.sqlite")
    assert (started("r"),) == store.events("r")
    store.append("r", proposed(store.put_text("x")), at=1)
    assert [("r", 2)] == [(summary.run, summary.events) for summary in store.runs()]
    assert () == inspect(store).problems
    with sqlite3.connect(store.path) as other:
        assert schema.VERSION == other.execute("PRAGMA user_version").fetchone()[0]
    other.close()


def test_a_migration_that_is_cut_short_leaves_the_old_store(
    tmp_path: Path, open_store: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_store(tmp_path / "old.sqlite")
    broken = {**schema.STEPS, 1: "CREATE TABLE half (done INTEGER) STRICT; CREATE TABLE half (twice INTEGER)"}
    monkeypatch.setattr("warpsmith.store.database.STEPS", broken)
    with pytest.raises(StoreError, match="already exists"):
        open_store(tmp_path / "old.sqlite")
    monkeypatch.undo()
    assert (started("r"),) == open_store(tmp_path / "old.sqlite").events("r")


def test_listing_runs_reads_no_payload(store: Store) -> None:
    fill(store, "r")
    with sqlite3.connect(store.path) as other:
        plan = other.execute(f"EXPLAIN QUERY PLAN {SUMMARIES}").fetchall()
    other.close()
    assert any("COVERING INDEX events_listed" in str(row) for row in plan)


def forge_text(db: sqlite3.Connection) -> None:
    db.execute("UPDATE texts SET text = 'forged' WHERE text LIKE '%of b%'")


def lose_text(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM texts WHERE text LIKE '%of b%'")


def cut_event(db: sqlite3.Connection) -> None:
    db.execute("UPDATE events SET payload = substr(payload, 1, 40) WHERE run = 'b' AND seq = 1")


def lose_event(db: sqlite3.Connection) -> None:
    db.execute("UPDATE events SET seq = 7 WHERE run = 'b' AND seq = 1")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (forge_text, "is damaged"),
        (lose_text, "holds no text"),
        (cut_event, "event 1 of run b"),
        (lose_event, "lacks event 1"),
    ],
)
def test_damage_is_found_and_all_else_is_saved(
    store: Store, tmp_path: Path, open_store: Opener, damage: Callable[[sqlite3.Connection], None], says: str
) -> None:
    fill(store, "a", "b", "c")
    assert () == inspect(store).problems
    with sqlite3.connect(store.path) as other:
        damage(other)
    other.close()
    (problem,) = inspect(store).problems
    assert says in problem
    saved = write_archive(store, tmp_path / "archive")
    assert (3, 5, 1, 1) == (saved.runs, saved.events, saved.incumbents, len(saved.problems))
    fresh = open_store(tmp_path / "fresh.sqlite")
    found = read_archive(tmp_path / "archive", fresh)
    assert (3, 5, 1, ()) == (found.runs, found.events, found.incumbents, found.problems)
    assert [store.events(name) for name in "ac"] == [fresh.events(name) for name in "ac"]
    assert (started("b"),) == fresh.events("b")
    assert store.incumbents() == fresh.incumbents()
    assert () == inspect(fresh).problems


def test_an_archive_goes_into_a_store_once_and_takes_no_others_place(
    store: Store, tmp_path: Path, open_store: Opener
) -> None:
    fill(store, "a", "b")
    write_archive(store, tmp_path / "archive")
    fresh = open_store(tmp_path / "fresh.sqlite")
    other = incumbent("out/k2").model_copy(update={"kernel": "k2"})
    assert fresh.swap_incumbent(other, expected=None)
    for _ in range(2):
        found = read_archive(tmp_path / "archive", fresh)
        assert (2, ("another kernel than k1 stands for t on h200",)) == (found.runs, found.problems)
    assert ("b", "a") == fresh.run_names()
    assert (other,) == fresh.incumbents()


def test_an_archive_is_not_written_over_something(store: Store, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("keep")
    with pytest.raises(StoreError, match="is not empty"):
        write_archive(store, tmp_path / "full")
    with pytest.raises(StoreError, match="holds no archive"):
        read_archive(tmp_path / "full", store)


def test_a_truncated_store_says_how_to_save_what_is_left(tmp_path: Path, open_store: Opener) -> None:
    path = tmp_path / "cut.sqlite"
    with Store.open(path) as store:
        fill(store, *(f"run{number}" for number in range(60)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with reading(path) as cut:
        found = inspect(cut)
        assert found.problems
        assert len(set(found.problems)) == len(found.problems)
        assert any(str(path) in problem for problem in found.problems), "told by its own name, not a copy's"
        saved = write_archive(cut, tmp_path / "archive")
    assert saved.problems
    fresh = open_store(tmp_path / "fresh.sqlite")
    read_archive(tmp_path / "archive", fresh)
    assert 0 < saved.runs == len(fresh.run_names()) < 60
    path.write_bytes(whole[:50])
    with pytest.raises(StoreError, match="store export DIR"), reading(path):
        pass
    path.write_bytes(whole[:3000])
    with pytest.raises(StoreError, match=re.escape(f"the store {path} is damaged")), reading(path):
        pass
    path.write_bytes(whole[:50])
    assert whole[:50] == path.read_bytes()


def test_compacting_keeps_everything_and_gives_space_back(store: Store) -> None:
    fill(store, "a")
    for number in range(300):
        store.put_text(f"{number} " * 500)
    with sqlite3.connect(store.path) as other:
        other.execute("DELETE FROM texts WHERE text NOT LIKE '// kernel%'")
    other.close()
    before, after = store.compact()
    assert after < before / 4
    assert () == inspect(store).problems
    assert 2 == len(store.events("a"))


def _write_run(path: Path, name: str) -> None:
    with Store.open(path) as store:
        store.append(name, started(name), at=0)
        for number in range(1, 40):
            store.append(name, proposed(store.put_text(f"{name} {number}"), number), at=number)


def test_runs_of_several_processes_share_a_store(tmp_path: Path, open_store: Opener) -> None:
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "new" / "store.sqlite"
    writers = [context.Process(target=_write_run, args=(path, name)) for name in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [0, 0, 0] == [writer.exitcode for writer in writers]
    found = inspect(open_store(path))
    assert (3, 120, ()) == (found.runs, found.events, found.problems)


def test_a_store_may_be_opened_by_many_while_the_first_makes_it(tmp_path: Path) -> None:
    """Before, half of them saw tables of a file that was not ours a moment earlier, and took it for another's."""

    def open_at_once(path: Path) -> None:
        start.wait()
        with Store.open(path):
            pass

    start = threading.Barrier(6)
    with ThreadPoolExecutor(start.parties) as pool:
        for number in range(20):
            path = tmp_path / f"{number}.sqlite"
            assert [None] * start.parties == list(pool.map(open_at_once, [path] * start.parties))


FILLER = """
import sys
import threading
from pathlib import Path
from warpsmith.core.errors import StoreError
from warpsmith.core.events import Abandoned
from warpsmith.store import Store
sys.path.insert(0, sys.argv[2])
from test_store_care import started

folder = Path(sys.argv[1])
with Store.open(folder / "store.sqlite") as store:
    store.append("r", started("r"), at=0)
    count = 1
    try:
        while count < 10_000:
            store.append("r", Abandoned(round=count, reason="x" * 20_000), at=count)
            count += 1
    except StoreError as error:
        print(count, error)
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> object:
    """A file system of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=2m", "none", folder], capture_output=True, text=True
    )
    if not made or made.returncode:
        pytest.skip(f"no small file system can be mounted here: {made.stderr.strip() if made else 'no mount'}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_told_and_loses_nothing_recorded(small_disk: Path, open_store: Opener) -> None:
    command = [sys.executable, "-c", FILLER, str(small_disk), str(Path(__file__).parent)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    count, _, message = told.partition(" ")
    assert "Free some disk space" in message
    subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    store = open_store(small_disk / "store.sqlite")
    assert int(count) == len(store.events("r"))
    assert () == inspect(store).problems
    store.append("r", Abandoned(round=1, reason="on it goes"), at=int(count))


def as_nobody(work: Callable[[], None]) -> str:
    """Run in a child that may write nowhere of ours; what it printed last."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            if os.getuid() == 0:
                os.setuid(65534)
            work()
        except StoreError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        text = said.read()
    os.waitpid(child, 0)
    return text


def test_a_store_in_a_folder_that_cannot_be_written_says_so_and_can_still_be_saved(tmp_path: Path) -> None:
    folder, out = tmp_path / "kept", tmp_path / "out"
    with Store.open(folder / "store.sqlite") as store:
        fill(store, "a", "b")

    def list_it() -> None:
        if run(["runs", "list", "--store", str(folder / "store.sqlite")]):
            raise StoreError("not listed")

    list_it()  # Loads what it needs: nobody may be unable to read this Python's library.
    out.mkdir()
    for path in (*tmp_path.parents, tmp_path):
        if path.owner() == tmp_path.owner() and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o055)
    out.chmod(0o777)
    (folder / "store.sqlite").chmod(0o444)
    folder.chmod(0o555)

    def open_it() -> None:
        Store.open(folder / "store.sqlite").append("c", started("c"), at=0)

    def save_it() -> None:
        with reading(folder / "store.sqlite") as store:
            write_archive(store, out / "archive")

    assert "WARPSMITH_STORE" in as_nobody(open_it)
    assert "" == as_nobody(save_it)
    assert "" == as_nobody(list_it)
    assert ["a.jsonl", "b.jsonl", "incumbents.jsonl"] == sorted(path.name for path in (out / "archive").iterdir())
    folder.chmod(0o755)


def test_the_commands_check_compact_export_and_import(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(store, "a")
    told = []
    for words in (
        ["check"],
        ["compact"],
        ["export", str(tmp_path / "archive")],
    ):
        assert 0 == run(["store", *words, "--store", str(store.path), "--json"])
        told.append(json.loads(capsys.readouterr().out))
    assert (1, 2, 1, []) == tuple(told[0][name] for name in ("runs", "events", "incumbents", "problems"))
    assert ["the kernel to beat for t on h200 is gone: out/k1"] == told[0]["remarks"]
    assert {"before", "after"} == set(told[1])
    fresh = str(tmp_path / "fresh.sqlite")
    assert 0 == run(["store", "import", str(tmp_path / "archive"), "--store", fresh])
    assert "1 runs with 2 events and 1 incumbents read" in capsys.readouterr().out
    with sqlite3.connect(store.path) as other:
        other.execute("UPDATE texts SET text = 'forged'")
    other.close()
    assert 1 == run(["store", "check", "--store", str(store.path)])
    assert "warpsmith store export DIR" in capsys.readouterr().out
    assert 3 == run(["store", "check", "--store", str(tmp_path / "none.sqlite")])
