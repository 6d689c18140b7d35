"""The library itself: its builds stay apart, and a stale or missing one says so."""

import shutil

import pytest

from warpsmith.core.errors import ToolchainError
from warpsmith.sandbox.emulator.isa.lanes import lane_rows
from warpsmith.sandbox.emulator.vm import bindings
from warpsmith.sandbox.emulator.vm.digest import source_digest


def test_every_lane_row_has_a_handler():
    assert [] == [name for name in lane_rows() if f"lane.{name}" not in bindings.handler_ids()]


def test_a_changed_source_changes_the_digest(tmp_path):
    shutil.copytree(bindings.FOLDER, tmp_path / "vm", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    assert source_digest(bindings.FOLDER) == source_digest(tmp_path / "vm")
    header = tmp_path / "vm" / "control.h"
    header.write_text(header.read_text() + "\n")
    assert source_digest(bindings.FOLDER) != source_digest(tmp_path / "vm")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A copy of the VM's folder that the bindings load from."""
    shutil.copytree(bindings.FOLDER, tmp_path / "vm", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(bindings, "FOLDER", tmp_path / "vm")
    bindings.library.cache_clear()
    yield tmp_path / "vm"
    bindings.library.cache_clear()


def test_a_library_older_than_its_sources_is_refused_with_the_remedy(elsewhere):
    assert bindings.library()
    bindings.library.cache_clear()
    (elsewhere / "control.h").write_text("// changed")
    with pytest.raises(bindings.VmNotBuilt, match=r"other sources.*make"):
        bindings.library()


def test_a_library_that_is_not_there_is_the_toolchains_fault_and_not_a_bug(elsewhere):
    bindings.library_path().unlink()
    with pytest.raises(ToolchainError) as found:
        bindings.library()
    assert "make" in found.value.remedy


def test_a_missing_library_is_refused_with_the_remedy(elsewhere):
    path = bindings.library_path()
    path.unlink()
    with pytest.raises(bindings.VmNotBuilt, match=r"not built. Build it with `make`"):
        bindings.library()
