"""The compiler is found in wheels, in a toolkit, or half in each."""

from __future__ import annotations

from pathlib import Path

import pytest

from warpsmith.core.errors import ToolchainError
from warpsmith.sandbox.compile.toolchain import PRELUDE, choose_toolchain


def root(
    folder: Path, *, library: str = "libnvrtc.so.13.0.88", headers: bool = True, version: int = 13000, crt: bool = True
) -> Path:
    if library:
        (folder / "lib64").mkdir(parents=True)
        (folder / "lib64" / library).touch()
        (folder / "lib64" / "libnvrtc-builtins.so.13.0").touch()
    if headers:
        (folder / "include" / "cccl" / "cuda" / "std").mkdir(parents=True)
        (folder / "include" / "cuda_fp16.h").touch()
        (folder / "include" / "cuda_runtime_api.h").write_text(f"#define CUDART_VERSION  {version}\n")
        (folder / "include" / "crt").mkdir()
        if crt:
            (folder / "include" / "crt" / "mma.h").touch()
    return folder


def test_a_toolkit_alone_serves(tmp_path: Path) -> None:
    found = choose_toolchain([root(tmp_path / "cuda")])
    headers = tmp_path / "cuda" / "include"
    assert ("nvrtc 13.0.88", (PRELUDE, headers, headers / "cccl")) == (found.name, found.include)
    assert ["libnvrtc-builtins.so.13.0"] == [path.name for path in found.builtins]


def test_a_wheels_library_takes_the_toolkits_headers_where_its_own_lack_a_part(tmp_path: Path) -> None:
    wheel, toolkit = root(tmp_path / "wheel", crt=False), root(tmp_path / "cuda")
    found = choose_toolchain([wheel, toolkit])
    assert (wheel / "lib64", toolkit / "include") == (found.library.parent, found.include[1])


def test_headers_of_another_release_do_not_serve(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match=r"are of CUDA 13\.1"):
        choose_toolchain([root(tmp_path / "wheel", headers=False), root(tmp_path / "cuda", library="", version=13010)])


def test_a_toolkits_version_file_names_its_release(tmp_path: Path) -> None:
    toolkit = root(tmp_path / "cuda", library="libnvrtc.so.13")
    (toolkit / "version.json").write_text('{"cuda_nvrtc": {"name": "CUDA NVRTC", "version": "13.0.88"}}')
    assert "13.0.88" == choose_toolchain([toolkit]).version


def test_an_older_toolkit_is_no_compiler_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="NVRTC 13 is not installed"):
        choose_toolchain([root(tmp_path / "cuda", library="libnvrtc.so.12.9.86")])
