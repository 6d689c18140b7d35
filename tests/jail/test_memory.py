"""How much memory there is for a child, and who was killed for want of it."""

from __future__ import annotations

import os
from pathlib import Path

from warpsmith.sandbox.jail.memory import kills, machine_bytes


def test_the_tightest_control_group_around_this_process_counts(tmp_path: Path) -> None:
    inner = tmp_path / "groups" / "outer" / "inner"
    inner.mkdir(parents=True)
    (inner / "memory.max").write_text("max\n")
    (inner.parent / "memory.max").write_text("1048576\n")
    own = tmp_path / "own"
    own.write_text("0::/outer/inner\n")
    assert 1 << 20 == machine_bytes(tmp_path / "groups", own)


def test_without_control_groups_it_is_the_machines_memory(tmp_path: Path) -> None:
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert whole == machine_bytes(tmp_path, tmp_path / "missing")


def test_killings_are_counted_where_the_kernel_counts_them(tmp_path: Path) -> None:
    counts = tmp_path / "vmstat"
    counts.write_text("pgfault 12\noom_kill 3\n")
    assert 3 == kills(counts)
    assert 0 == kills(tmp_path / "missing")
