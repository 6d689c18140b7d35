"""NVIDIA's tools are found in PATH, then in the toolkit that the environment names."""

from __future__ import annotations

from pathlib import Path

import pytest

from warpsmith.sandbox.device.tools import Tools, find_tool


def installed(folder: Path, name: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    tool = folder / name
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    return str(tool)


@pytest.fixture(autouse=True)
def nothing_found_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    find_tool.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path / "path"))


@pytest.mark.parametrize("variable", ["CUDA_HOME", "CUDA_PATH"])
@pytest.mark.parametrize("part", ["bin", "compute-sanitizer"])
def test_the_tools_of_the_toolkit_that_is_named_are_found(tmp_path: Path, variable: str, part: str) -> None:
    tool = installed(tmp_path / "toolkit" / part, "compute-sanitizer")
    assert tool != Tools.installed("GPU-1", None).sanitizer
    assert tool == Tools.installed("GPU-1", {variable: str(tmp_path / "toolkit")}).sanitizer


def test_path_comes_before_the_toolkit(tmp_path: Path) -> None:
    installed(tmp_path / "toolkit" / "bin", "a-tool")
    assert installed(tmp_path / "path", "a-tool") == find_tool("a-tool", (str(tmp_path / "toolkit"),))


def test_a_file_that_cannot_be_run_is_no_tool(tmp_path: Path) -> None:
    Path(installed(tmp_path / "toolkit" / "bin", "a-tool")).chmod(0o644)
    assert find_tool("a-tool", (str(tmp_path / "toolkit"),)) is None
