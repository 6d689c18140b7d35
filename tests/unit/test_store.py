"""The store keeps events in order, texts by digest and one incumbent a slot."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from warpsmith.core.errors import StoreError
from warpsmith.core.events import Proposed, RunFinished, RunSettings, RunStarted, StopReason
from warpsmith.core.profile import Profile, WorkloadProfile
from warpsmith.core.quantity import Bound, Duration, Source
from warpsmith.store import Incumbent, Store

Opener = Callable[[Path], Store]

SETTINGS = RunSettings(coder="builtin", judge="builtin", strategy="refine", rounds=3, library="out")
PROPOSED = Proposed(round=1, candidate="c", language="cuda", text_digest="x", idea="seed", by="builtin")


def started(run: str) -> RunStarted:
    return RunStarted(run=run, task="t", task_digest="d", target="h200", device="emulator", settings=SETTINGS)


def incumbent(kernel: str, us: float, source: Source = Source.MODELLED) -> Incumbent:
    workload = WorkloadProfile(
        workload="w",
        duration=Duration(us=us, source=source),
        bound=Bound(us=1, limit="dram", flops=1, bytes=1),
        launches=(),
    )
    profile = Profile(candidate=f"c-{kernel}", target="h200", source=source, workloads=(workload,))
    return Incumbent(
        task="t", task_digest="d", candidate=f"c-{kernel}", kernel=kernel, path=f"out/{kernel}", profile=profile
    )


@pytest.fixture
def store(tmp_path: Path, open_store: Opener) -> Store:
    return open_store(tmp_path / "deep" / "folder" / "store.sqlite")


def test_events_come_back_in_order_after_the_store_was_closed(store: Store, open_store: Opener) -> None:
    store.append("r", started("r"), at=0)
    store.append("r", PROPOSED, at=1)
    store.close()
    assert (started("r"), PROPOSED) == open_store(store.path).events("r")


def test_a_run_nobody_started_has_no_events(store: Store) -> None:
    assert store.events("ghost") == ()


def test_two_processes_cannot_both_continue_a_run(store: Store, open_store: Opener) -> None:
    store.append("r", started("r"), at=0)
    open_store(store.path).append("r", PROPOSED, at=1)
    with pytest.raises(StoreError, match="another process continues it"):
        store.append("r", PROPOSED, at=1)
    assert len(store.events("r")) == 2


def test_a_gap_in_a_run_is_refused(store: Store) -> None:
    store.append("r", started("r"), at=0)
    with pytest.raises(StoreError, match="1 events where 2 were expected"):
        store.append("r", PROPOSED, at=2)


def test_a_text_is_kept_once_and_found_by_its_digest(store: Store) -> None:
    digest = store.put_text("// kernel é\n")
    assert digest == store.put_text("// kernel é\n")
    assert store.get_text(digest) == "// kernel é\n"


def test_a_text_that_is_not_there_is_an_error(store: Store) -> None:
    with pytest.raises(StoreError, match="holds no text abc"):
        store.get_text("abc")


def test_a_text_that_was_changed_behind_our_back_is_an_error(store: Store) -> None:
    digest = store.put_text("honest")
    with sqlite3.connect(store.path) as other:
        other.execute("UPDATE texts SET text = 'forged'")
    other.close()
    with pytest.raises(StoreError, match="is damaged"):
        store.get_text(digest)


def test_runs_are_listed_newest_first_with_why_they_ended(store: Store) -> None:
    store.append("old", started("old"), at=0)
    store.append("new", started("new"), at=0)
    store.append("old", RunFinished(reason=StopReason.PLATEAU), at=1)
    assert [(run.run, run.reason, run.resumable) for run in store.runs()] == [
        ("new", None, True),
        ("old", StopReason.PLATEAU, False),
    ]
    newest = store.newest_run()
    assert newest is not None
    assert (newest.run, newest.events) == ("new", 1)


def test_an_empty_store_has_no_newest_run(store: Store) -> None:
    assert store.newest_run() is None


def test_the_first_challenger_takes_an_empty_place(store: Store) -> None:
    assert store.swap_incumbent(incumbent("k1", 5), expected=None)
    assert incumbent("k1", 5) == store.incumbent("t", "d", "h200", Source.MODELLED)


def test_a_challenger_that_beat_a_kernel_since_replaced_is_turned_away(store: Store) -> None:
    assert store.swap_incumbent(incumbent("k1", 5), expected=None)
    assert store.swap_incumbent(incumbent("k2", 4), expected="k1")
    assert not store.swap_incumbent(incumbent("k3", 3), expected="k1")
    assert incumbent("k2", 4) == store.incumbent("t", "d", "h200", Source.MODELLED)


def test_a_swap_can_be_repeated_after_it_was_cut_short(store: Store) -> None:
    assert store.swap_incumbent(incumbent("k1", 5), expected=None)
    assert store.swap_incumbent(incumbent("k1", 5), expected=None)


def test_measured_and_modelled_times_do_not_share_a_place(store: Store) -> None:
    assert store.swap_incumbent(incumbent("k1", 5), expected=None)
    assert store.swap_incumbent(incumbent("k2", 9, Source.MEASURED), expected=None)


def test_a_path_under_a_file_is_refused_with_a_remedy(tmp_path: Path, open_store: Opener) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="--store"):
        open_store(tmp_path / "file" / "store.sqlite")


def test_a_folder_is_no_store(tmp_path: Path, open_store: Opener) -> None:
    with pytest.raises(StoreError, match="--store"):
        open_store(tmp_path)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, open_store: Opener) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes, not a database; " * 100)
    with pytest.raises(StoreError, match="is damaged or is no store"):
        open_store(path)
    assert path.read_text().startswith("my notes")


def test_a_database_of_another_program_is_refused(tmp_path: Path, open_store: Opener) -> None:
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    other.close()
    with pytest.raises(StoreError, match="another program"):
        open_store(path)


def test_a_store_written_by_a_newer_warpsmith_is_refused(store: Store, open_store: Opener) -> None:
    store.close()
    with sqlite3.connect(store.path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(StoreError, match=r"schema 99.*Upgrade"):
        open_store(store.path)


def test_a_sound_store_passes_its_check(store: Store) -> None:
    store.append("r", started("r"), at=0)
    store.integrity_check()


def test_damage_to_an_event_is_found_by_the_check(store: Store) -> None:
    store.append("r", started("r"), at=0)
    with sqlite3.connect(store.path) as other:
        other.execute("""UPDATE events SET payload = '{"kind": "RunStarted"}'""")
    other.close()
    with pytest.raises(StoreError, match="event 0 of run r"):
        store.integrity_check()


def test_overwritten_pages_are_found(store: Store, open_store: Opener) -> None:
    for number in range(200):
        store.put_text(f"text {number} " * 50)
    store.close()
    content = bytearray(store.path.read_bytes())
    content[4096 : len(content) - 4096] = b"\xa5" * (len(content) - 8192)
    store.path.write_bytes(bytes(content))
    with pytest.raises(StoreError, match="damaged"):
        open_store(store.path).integrity_check()
