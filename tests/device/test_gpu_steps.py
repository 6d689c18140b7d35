"""All steps of `make gpu` on the imagined driver: what a first run on silicon would trip over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from warpsmith.core.arch import find_architecture
from warpsmith.core.artifact import Artifact
from warpsmith.core.outcome import CompileFailed
from warpsmith.sandbox.compile import Unit, compile_unit
from warpsmith.sandbox.device.baselines import Baselines
from warpsmith.sandbox.device.duel import BLOCKS, CALLS, DeviceDuel
from warpsmith.sandbox.device.tools import Tools
from warpsmith.sandbox.gate.stages import read_candidate
from warpsmith.silicon.box import FILES, MOST_FILES, Box
from warpsmith.silicon.calibration import KERNELS, SOURCE, measures, mint
from warpsmith.silicon.conformance import unpack
from warpsmith.silicon.exports import FILE as EXPORTS
from warpsmith.silicon.exports import exports
from warpsmith.silicon.rig import Rig, Subject
from warpsmith.silicon.steps import run
from warpsmith.tasks import load_task

from ..contracts.launchers import FakeGpus, pair

pytestmark = pytest.mark.full

IMAGINED_LACKS = "e4m3"
"""The imagined driver runs kernels on the emulator, which has no fp8 product."""
TINY = Path(__file__).parents[1] / "emulated" / "tiny"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("gpu")
    gpus = FakeGpus(folder, options=("small-l2",))

    def compiler(unit: Unit, target: str) -> Artifact | CompileFailed:
        made = compile_unit(unit, target)
        if isinstance(made, Artifact):
            pair(made, folder)
        return made

    device = gpus.pool.devices[0]
    yield Rig(
        device=device,
        arch=find_architecture("h200"),
        pool=gpus.pool,
        compiler=compiler,
        tools=Tools(device.uuid, ncu=None, sanitizer=None),
        baselines=Baselines(gpus.pool),
        threads=1,
    )
    gpus.pool.close()


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    text = (TINY / "scaled_sum.py").read_text().replace("1 << 24", "1 << 12")
    path = tmp_path_factory.mktemp("task") / "scaled_sum.py"
    path.write_text(text)
    return Subject(load_task(path), read_candidate((TINY / "scaled_sum.cu").read_text()), "seed scaled_sum")


@pytest.fixture(scope="module")
def first(rig: Rig, subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> tuple[Box, dict[str, Any]]:
    """One whole run. Calibration counts as done: the emulator would take minutes for its loops. So do exports, which
    ask PyTorch for the device: it knows nothing of the imagined driver."""
    box = Box(tmp_path_factory.mktemp("out") / "results", say=lambda text: None)
    done = {f"h200/{item.name}": {"value": item.figure} for item in measures(rig.arch)}
    box.write("calibration.json", done)
    box.write(EXPORTS, {name: {} for name, *_ in exports(box.say)})
    return box, run(rig, box, (subject,))


def units(box: Box, file: str) -> dict[str, Any]:
    found = json.loads((box.folder / file).read_text())
    assert isinstance(found, dict)
    return found


def test_at_most_six_files_are_written(first: tuple[Box, dict[str, Any]]) -> None:
    box, _ = first
    assert MOST_FILES >= len(list(box.folder.iterdir()))
    assert set(FILES) == {path.name for path in box.folder.iterdir()}
    assert [] == list(box.folder.parent.glob("*.new"))


def test_a_run_says_what_it_did_and_on_what(first: tuple[Box, dict[str, Any]]) -> None:
    box, summary = first
    assert [] == summary["left out"]
    assert [] == [text for text in summary["failed"] if IMAGINED_LACKS not in text]
    assert summary == units(box, "run.json")
    assert "NVIDIA H200 (imagined)" == summary["device"]["name"]
    assert {"torch", "triton", "numpy"} <= set(summary["versions"])


def test_every_verify_workload_agrees_to_the_bit(first: tuple[Box, dict[str, Any]], subject: Subject) -> None:
    found = units(first[0], "agreement.json")[subject.name]["workloads"]
    assert ["one element", "ragged"] == [item["workload"] for item in found]
    for item in found:
        assert ("ran", "ran", True) == (item["gpu"], item["emulator"], item["oracle"]["right"])
        assert 0 == item["outputs"]["y"]["differing"]
    assert 1003 == found[1]["outputs"]["y"]["elements"]


def test_a_checker_that_is_missing_is_named(first: tuple[Box, dict[str, Any]], subject: Subject) -> None:
    found = units(first[0], "agreement.json")[f"sanitizer/{subject.name}"]
    assert {"memcheck", "racecheck", "initcheck", "synccheck"} < set(found)
    assert "compute-sanitizer is not installed" == found["memcheck"]["reason"]


def test_open_instructions_are_kept_with_operands_and_answers(first: tuple[Box, dict[str, Any]]) -> None:
    found = units(first[0], "golden.json")
    assert [] == [name for name, unit in found.items() if "failed" in unit]
    ex2 = found["sm_90a/ex2.approx.f32"]
    operands, answers = (unpack(ex2[name]).view(np.float32) for name in ("operands", "answers"))
    assert (len(operands), 0) == (len(answers), ex2["difference"]["differing"])
    assert [1.0, 1.0, 2.0, 0.5] == answers[:4].tolist()


def test_products_are_among_them(first: tuple[Box, dict[str, Any]]) -> None:
    found = units(first[0], "golden.json")["sm_90a/mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"]
    assert 32 * 32 * 4 * 4 == unpack(found["answers"]).size


def test_times_are_measured_beside_modelled_ones(first: tuple[Box, dict[str, Any]], subject: Subject) -> None:
    found = units(first[0], "times.json")
    measured, modelled = found[f"{subject.name}/sixteen million"], found[f"model/{subject.name}"]
    assert ("measured", True) == (measured["source"], measured["results repeat"])
    assert len(measured["samples"]["event us"]) == len(measured["samples"]["sm mhz"]) == measured["plan"]["samples"]
    assert modelled["workloads"]["sixteen million"]["modelled us"] > 0


def test_baselines_that_cannot_run_say_why(first: tuple[Box, dict[str, Any]]) -> None:
    found = {name: unit for name, unit in units(first[0], "times.json").items() if name.startswith("baseline/")}
    assert {"torch eager", "torch.compile"} == {unit["baseline"] for unit in found.values()}
    assert all(unit["absent"] for unit in found.values())


def test_without_ncu_the_rung_is_events_alone(first: tuple[Box, dict[str, Any]], subject: Subject) -> None:
    found = units(first[0], "counters.json")[subject.name]
    assert ("events", "Nsight Compute (ncu) is not installed") == (found["rung"], found["reason"])


def test_a_second_run_repeats_nothing(first: tuple[Box, dict[str, Any]], rig: Rig, subject: Subject) -> None:
    box, _ = first
    before = {name: (box.folder / name).read_bytes() for name in FILES if name != "run.json"}
    said: list[str] = []
    again = run(rig, Box(box.folder, say=said.append), (subject,))
    assert before == {name: (box.folder / name).read_bytes() for name in before}
    assert [] == again["left out"]
    assert [] == [text for text in said if not text.endswith("s left") and IMAGINED_LACKS not in text]


def test_without_time_nothing_begins_and_everything_is_named(rig: Rig, subject: Subject, tmp_path: Path) -> None:
    box = Box(tmp_path / "results", seconds=0, say=lambda text: None)
    summary = run(rig, box, (subject,))
    assert ["run.json"] == [path.name for path in box.folder.iterdir()]
    assert f"agreement.json: {subject.name}" == summary["left out"][0]
    assert not summary["done"]


def test_calibrations_kernels_compile_and_run(rig: Rig) -> None:
    """With few rounds, on the emulator: that they do what they are named for, only a GPU can show."""
    artifact = rig.compile(SOURCE.read_text(), *KERNELS)
    for item in measures(rig.arch):
        small = replace(item, blocks=1, rounds=2, words=min(item.words, 1 << 14), launches=1)
        reply = rig.launcher.run(replace(mint(artifact, small)(0), checks=False))
        assert reply.failure is None, (item.name, reply.failure)


def test_two_kernels_are_timed_in_alternation_in_fresh_processes(rig: Rig, subject: Subject) -> None:
    duel = DeviceDuel(subject.task, rig.arch, rig.compiler, rig.pool)
    text = subject.candidate.text
    other = read_candidate(text, knobs={"EACH": 1})
    blocks = duel.fight(subject.candidate, other, 3)
    assert [(3, "sixteen million", CALLS, CALLS)] * BLOCKS == [
        (block.pair, block.workload, len(block.incumbent), len(block.challenger)) for block in blocks
    ]
    # No sensor says a clock here: all samples have the same one, and none is left out for it.
    assert {1.0} == {sample.clock_mhz for block in blocks for sample in (*block.incumbent, *block.challenger)}
