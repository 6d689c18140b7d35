"""The doctor names what is missing, and only what is needed breaks the emulator path."""

from __future__ import annotations

import pytest

from tests.without_torch import needs_torch
from warpsmith.core.errors import DeviceError
from warpsmith.doctor import Finding, State, examine, works
from warpsmith.gpus import choose_target
from warpsmith.settings import Settings, read_settings


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finding]:
    folder = tmp_path_factory.mktemp("doctor")
    (folder / "file").write_text("no folder")
    settings = Settings(store=folder / "a" / "store.sqlite", library=folder / "file" / "lib", cache=folder, threads=1)
    return {item.name: item for item in examine(settings)}


def test_everything_is_looked_at(findings: dict[str, Finding]) -> None:
    expected = {"python", "machine", "emulator", "nvrtc", "compile", "torch", "triton", "gpu", "ncu"}
    assert expected | {"compute-sanitizer", "jail", "api keys", "store", "library", "cache"} == set(findings)


def test_the_compiler_is_tried_and_not_only_found(findings: dict[str, Finding]) -> None:
    assert (State.OK, True) == (findings["compile"].state, findings["compile"].needed)
    assert "sm_90a by nvrtc 13.0" in findings["compile"].detail


def test_the_emulator_says_which_instruction_set_it_runs(findings: dict[str, Finding]) -> None:
    assert State.OK is findings["emulator"].state
    assert any(name in findings["emulator"].detail for name in ("avx512", "avx2", "portable"))


def test_a_store_whose_folder_is_yet_to_be_made_is_fine(findings: dict[str, Finding]) -> None:
    assert State.OK is findings["store"].state


def test_a_library_below_a_file_is_missing_with_a_remedy(findings: dict[str, Finding]) -> None:
    assert State.MISSING is findings["library"].state
    assert "--library" in findings["library"].remedy


@needs_torch
def test_only_what_is_needed_decides(findings: dict[str, Finding]) -> None:
    assert not works(tuple(findings.values()))
    assert works(tuple(item for name, item in findings.items() if name != "library"))
    assert works((Finding(name="ncu", state=State.MISSING, detail="gone"),))
    assert not works((Finding(name="nvrtc", state=State.MISSING, detail="gone", needed=True),))


def test_a_missing_gpu_is_a_warning_and_asking_for_it_an_error(findings: dict[str, Finding]) -> None:
    assert not findings["gpu"].needed
    if findings["gpu"].state is State.OK:
        pytest.skip("this machine has a GPU")
    with pytest.raises(DeviceError, match=r"NVIDIA driver.*--device emulator"):
        choose_target("cuda", None, read_settings())
