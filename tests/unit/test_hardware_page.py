"""Results of a GPU become a page that hides no disagreement. The numbers are invented for these tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from warpsmith.core.errors import SettingsError
from warpsmith.silicon.hardware_page import NOTHING, Results, disagreements, page, points, spearman, unexplained
from warpsmith.silicon.merge import BEGIN, END, main, merge, read_all, write_between

ROOT = Path(__file__).parents[2]
SAME = {"elements": 100, "differing": 0}
OFF = {"elements": 100, "differing": 3, "largest steps": 2, "at": [1, 4]}
RAN = {"gpu": "ran", "emulator": "ran", "oracle": {"right": True}}
FILES = {
    "run.json": {"device": {"name": "NVIDIA H200", "sms": 132, "capability": [9, 0]}, "versions": {"torch": "2.11.0"}},
    "agreement.json": {
        "gemm/seed naive/0011/2233": {
            "workloads": [
                {**RAN, "workload": "ragged", "outputs": {"y": SAME}},
                {**RAN, "workload": "odd", "outputs": {"y": OFF}},
                {**RAN, "workload": "atomics", "order is free": True, "outputs": {"y": OFF}},
            ]
        }
    },
    "golden.json": {"sm_90a/ex2.approx.f32": {"opcode": "ex2.approx.f32", "difference": OFF}},
    "times.json": {
        f"gemm/seed naive/0011/2233/{name}": {
            "subject": "gemm/seed naive/0011/2233",
            "task": "gemm",
            "origin": "seed naive",
            "kernel": "0011",
            "workload": name,
            "source": "measured",
            "us": us,
            "low us": us - 1,
            "high us": us + 1,
        }
        for name, us in (("small", 10.0), ("large", 90.0))
    }
    | {
        "model/gemm/seed naive/0011/2233": {
            "workloads": {
                "small": {"modelled us": 12.0, "bound us": 5.0},
                "large": {"modelled us": 80.0, "bound us": 45.0},
            }
        },
        "baseline/gemm/2233/small/torch eager": {
            "task": "gemm",
            "workload": "small",
            "baseline": "torch eager",
            "absent": "CUDA error",
        },
    },
}
H200 = Results("nvidia-h200", FILES)


def test_an_export_that_is_wrong_on_the_gpu_is_a_disagreement() -> None:
    units = {
        "export/hf-kernels/gemm/0011": {"right": False, "error": "y[0] is 0"},
        "export/kernelbench/gemm/0011": {"right": True, "error": 0.1},
        "export/flashinfer/gemm/0011": {"refused": "no"},
    }
    found = list(disagreements(Results("nvidia-h200", {"agreement.json": units})))
    assert [("export/hf-kernels/gemm", "y[0] is 0")] == found


def test_every_difference_of_bits_is_listed_and_equal_ones_are_not() -> None:
    assert ["gemm/seed naive at odd", "ex2.approx.f32"] == [name for name, _ in disagreements(H200)]


def test_a_difference_is_open_until_the_page_names_it() -> None:
    assert ["gemm/seed naive at odd", "ex2.approx.f32"] == unexplained([H200], "")
    assert ["gemm/seed naive at odd"] == unexplained([H200], "ex2.approx.f32: two steps are within the ISA's bound")


def test_modelled_and_measured_times_stand_side_by_side() -> None:
    large, small = points(H200)
    assert (("large", 80.0, 90.0), ("small", 12.0, 10.0)) == (
        (large.workload, large.modelled, large.measured),
        (small.workload, small.modelled, small.measured),
    )
    text = page([H200])
    assert "Spearman's rank correlation over 2 pairs: 1.000." in text
    assert "| gemm seed naive | small | 12 | 10 | 9 to 11 | 1.20 | 50.0 % |" in text
    assert "| gemm | small | torch eager | absent | CUDA error |" in text


def test_without_results_the_page_says_that_nothing_was_measured() -> None:
    assert NOTHING == page([])


@pytest.mark.parametrize(
    ("expected", "pairs"),
    [(1.0, [(1, 10), (2, 20), (3, 500)]), (-1.0, [(1, 3), (2, 2), (3, 1)]), (None, [(1, 1), (1, 2)])],
)
def test_rank_correlation_sees_order_alone(expected: float | None, pairs: list[tuple[float, float]]) -> None:
    found = spearman(pairs)
    assert expected == (found if found is None else pytest.approx(found))


def test_ties_share_their_rank() -> None:
    # By hand: ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4 correlate by 4.5 / sqrt(4.5 * 5).
    assert 4.5 / (4.5 * 5) ** 0.5 == pytest.approx(spearman([(1, 1), (2, 2), (2, 3), (9, 4)]))


def test_newer_units_join_older_ones(tmp_path: Path) -> None:
    for number, name in enumerate(("old", "new")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps(FILES["run.json"]))
        (folder / "times.json").write_text(json.dumps({"both": {"us": number}, name: {"us": number}}))
        target = merge(folder, tmp_path / "results")
    assert tmp_path / "results" / "nvidia-h200" == target
    (results,) = read_all(tmp_path / "results")
    assert {"both": {"us": 1}, "old": {"us": 0}, "new": {"us": 1}} == results.units("times.json")


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no run\.json"):
        merge(tmp_path, tmp_path / "results")


def test_the_shipped_page_holds_what_the_results_say(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "hardware.md").read_text()
    assert text == write_between(text, page(read_all(ROOT / "benchmarks" / "results")))


def test_merging_writes_the_page_and_names_what_is_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "hardware.md").write_text(f"# Hardware\n{BEGIN}\n{END}\nex2.approx.f32 is within its bound\n")
    run = tmp_path / "out"
    run.mkdir()
    for name, units in FILES.items():
        (run / name).write_text(json.dumps(units))
    assert 1 == main([str(run), "--root", str(tmp_path)])
    assert "not explained in hardware.md yet: gemm/seed naive at odd\n" == capsys.readouterr().out
    assert "### NVIDIA H200" in (tmp_path / "docs" / "hardware.md").read_text()
