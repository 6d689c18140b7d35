"""How much memory there is for a child, and who was killed for want of it."""

from __future__ import annotations

import os
import subprocess
import sys
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


def test_a_lower_limit_that_was_set_before_stays(tmp_path: Path) -> None:
    """`ulimit -v` of a shared machine: nobody may raise it, and a child that tried would end."""
    script = tmp_path / "limited.py"
    script.write_text("""
import resource
from warpsmith.sandbox.jail.confinement import confine
limits = {"memory_bytes": 1 << 40, "cpu_seconds": 100, "file_bytes": 1 << 20, "processes": 1 << 16}
resource.setrlimit(resource.RLIMIT_AS, (1 << 33, 1 << 33))
resource.setrlimit(resource.RLIMIT_CPU, (50, 50))
confine({"level": "rlimits", "limits": limits})
print(*(resource.getrlimit(kind) for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE)))
""")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert f"{(1 << 33, 1 << 33)} (50, 50) {(1 << 20, 1 << 20)}" == done.stdout.strip()
