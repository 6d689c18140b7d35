"""The step of `make gpu` that runs exports without warpsmith, rehearsed on the CPU, where their reference serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.exported import subject_of
from warpsmith.core.errors import DeviceError
from warpsmith.silicon import exports
from warpsmith.silicon.box import Box
from warpsmith.silicon.exports import FILE, FORMATS, export, export_all


@pytest.mark.parametrize(
    "form", [pytest.param(form, marks=() if form == "kernelbench" else pytest.mark.full) for form in FORMATS]
)
def test_an_export_is_run_and_judged(form: str) -> None:
    found = export(subject_of("w4a16_gemm"), form, "cpu")
    assert "right" in found, found
    assert found["right"]
    assert found["workload"] == "long K"


def test_what_a_format_refuses_is_kept() -> None:
    found = export(subject_of("spconv_kernel_map"), "kernelbench", "cpu")
    assert "spconv_kernel_map has 3 outputs" in str(found["refused"])


@pytest.mark.full
def test_an_export_that_does_not_run_fails_on_our_side() -> None:
    with pytest.raises(DeviceError, match="flashinfer of w4a16_gemm"):
        export(subject_of("w4a16_gemm"), "flashinfer", "no_such_device")


@pytest.mark.full
def test_every_shipped_kernel_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "FORMATS", {"hf-kernels": FORMATS["hf-kernels"]})
    box = Box(tmp_path, say=lambda text: None)
    export_all(box, "cpu")
    assert [] == box.failed
    units = box.read(FILE)
    assert all(unit["right"] for unit in units.values())
    assert len(units) >= 7
    export_all(box, "cpu")
    assert units == box.read(FILE)
