"""A run is boxed in time and files, and goes on where the last one ended."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from warpsmith.core.errors import DeviceError
from warpsmith.sandbox.device.messages import DeviceInfo
from warpsmith.silicon.__main__ import main
from warpsmith.silicon.box import FILES, MOST_FILES, Box
from warpsmith.silicon.probes import probes
from warpsmith.silicon.rig import nearest_architecture, subjects

ROOT = Path(__file__).parents[2]
SILENT = lambda text: None  # noqa: E731


def ticks(*times: float) -> Iterator[float]:
    yield from times
    while True:
        yield times[-1]


def test_a_unit_is_done_once(tmp_path: Path) -> None:
    done: list[int] = []

    def work() -> dict[str, int]:
        done.append(1)
        return {"answer": 42}

    first = Box(tmp_path, say=SILENT).unit("times.json", "a", work)
    again = Box(tmp_path, say=SILENT).unit("times.json", "a", work)
    assert first is not None
    assert again is not None
    assert (42, 42, [1]) == (first["answer"], again["answer"], done)


def test_no_unit_begins_without_its_time(tmp_path: Path) -> None:
    clock = ticks(0.0, 471.0)
    box = Box(tmp_path, 480.0, SILENT, lambda: next(clock))
    assert box.unit("times.json", "late", dict, needs=10) is None
    assert ["times.json: late"] == box.left_out
    assert box.unit("times.json", "quick", dict, needs=9) is not None


def test_a_machine_that_fails_costs_its_unit_and_no_other(tmp_path: Path) -> None:
    def broken() -> dict[str, int]:
        raise DeviceError("the GPU fell off the bus")

    box = Box(tmp_path, say=SILENT)
    assert box.unit("times.json", "a", broken) is None
    assert box.unit("times.json", "b", dict) is not None
    assert ["a: the GPU fell off the bus"] == box.failed
    assert {"b"} == set(json.loads((tmp_path / "times.json").read_text()))


def test_only_six_files_can_be_written(tmp_path: Path) -> None:
    assert MOST_FILES == len(FILES)
    with pytest.raises(ValueError, match="none of the 6 files"):
        Box(tmp_path, say=SILENT).unit("notes.json", "a", dict)


def test_what_is_no_result_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "times.json").write_text("[1]")
    with pytest.raises(ValueError, match="holds no results"):
        Box(tmp_path, say=SILENT).unit("times.json", "a", dict)


def test_every_seed_of_every_task_is_looked_at_tasks_in_turn() -> None:
    found = subjects()
    names = [subject.name for subject in found]
    assert len(names) == len(set(names))
    tasks = [subject.task.name for subject in found]
    first_round = tasks[: len(set(tasks))]
    assert set(tasks) == set(first_round)
    assert "quantized_gemm" in {subject.task.family for subject in found}


def test_probes_have_names_of_their_own() -> None:
    kernels = [probe.kernel for probe in probes()]
    assert len(kernels) == len(set(kernels))


@pytest.mark.parametrize(
    ("name", "capability", "sms", "expected"),
    [
        ("NVIDIA H200", (9, 0), 132, "h200"),
        ("NVIDIA A100-SXM4-80GB", (8, 0), 108, "a100"),
        ("NVIDIA GeForce RTX 4090", (8, 9), 128, "rtx4090"),
        ("NVIDIA L40S", (8, 9), 142, "rtx4090"),
    ],
)
def test_a_device_finds_its_row(name: str, capability: tuple[int, int], sms: int, expected: str) -> None:
    device = DeviceInfo(
        ordinal=0,
        uuid="GPU-0",
        name=name,
        capability=capability,
        sms=sms,
        memory_bytes=1,
        l2_bytes=1,
        clock_khz=1,
        shared_per_block=1,
        cooperative=True,
        virtual_memory=True,
        pageable_memory=False,
        watchdog=False,
    )
    assert expected == nearest_architecture(device).name


def device_of(name: str, sms: int, uuid: str = "GPU-0") -> DeviceInfo:
    return DeviceInfo(
        ordinal=0,
        uuid=uuid,
        name=name,
        capability=(9, 0),
        sms=sms,
        memory_bytes=1,
        l2_bytes=1,
        clock_khz=1,
        shared_per_block=1,
        cooperative=True,
        virtual_memory=True,
        pageable_memory=False,
        watchdog=False,
    )


def test_a_part_of_a_gpu_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    instance = device_of("NVIDIA H200 MIG 1g.18gb", 16, "MIG-1")
    monkeypatch.setattr("warpsmith.silicon.__main__.find_gpus", lambda settings: (instance,))
    assert 1 == main(["--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "no whole GPU was found. NVIDIA H200 MIG 1g.18gb (16 SMs) is a part of a GPU (MIG)" in said
    assert not (tmp_path / "out").exists()


def test_another_part_than_the_tables_is_measured_and_named_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = (device_of("NVIDIA H200 MIG 1g.18gb", 16, "MIG-1"), device_of("NVIDIA H100 PCIe", 114))
    monkeypatch.setattr("warpsmith.silicon.__main__.find_gpus", lambda settings: found)
    monkeypatch.setattr("warpsmith.silicon.__main__.subjects", tuple)
    monkeypatch.setattr(
        "warpsmith.silicon.__main__.run",
        lambda rig, box, chosen: {"left out": [], "failed": [], **rig.facts(), "seen": said.append(rig.facts())},
    )
    said: list[dict[str, object]] = []
    assert 0 == main(["--out", str(tmp_path / "out")])
    (facts,) = said
    assert "another part than the table's h100" in str(facts["not its own"])
    assert "NVIDIA H100 PCIe (114 SMs) is another part than the table's h100" in capsys.readouterr().out


def test_without_a_gpu_the_program_says_so_in_one_line_and_fails() -> None:
    ran = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "gpu.py")], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if "no GPU was found" not in ran.stdout:
        pytest.skip("there is a GPU")
    assert (1, 1, "") == (ran.returncode, ran.stdout.count("\n"), ran.stderr)


def test_the_program_loads_no_model_client_and_no_agents() -> None:
    code = "import sys, warpsmith.silicon.__main__; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in ran.stdout.split()}
    assert set() == loaded & {"openai", "anthropic", "torch", "triton", "typer", "rich"}
    assert "warpsmith.agents" not in ran.stdout


def test_carried_wheels_are_unpacked_only_where_they_are_needed(tmp_path: Path) -> None:
    specification = importlib.util.spec_from_file_location("start_gpu", ROOT / "benchmarks" / "gpu.py")
    assert specification is not None
    assert specification.loader is not None
    start = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(start)
    (tmp_path / "wheels").mkdir()
    with zipfile.ZipFile(tmp_path / "wheels" / "carried-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("carried.py", "ANSWER = 42")
    code = "import carried, warpsmith.profiler, warpsmith.core; print(carried.ANSWER)"

    def answer(*, carried: bool) -> str:
        environment = start.prepare(tmp_path, carried=carried)
        ran = subprocess.run(
            [sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        return ran.stdout

    assert ("", "42\n") == (answer(carried=False), answer(carried=True))
