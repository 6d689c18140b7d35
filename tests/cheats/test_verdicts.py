"""One honest kernel and its bad twins: each differs in one line and gets the Outcome and the line it deserves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HONEST = Path(__file__).parent / "kernels" / "shared_row.cu"

TWINS = {
    "OutOfBounds": (
        "y[(size_t)m * N + n] =",
        "y[(size_t)m * N + n + 1] =",
    ),
    "Racy": (
        "        __syncthreads();  // the chunk is complete\n",
        "        // the chunk is complete\n",
    ),
    "Unwritten": (
        'grid = ["cdiv(N, 128)", "M"]',
        'grid = ["cdiv(N, 128)", "max(M - 1, 1)"]',
    ),
    "Wrong": (
        "group = k / G;",
        "group = (k / G + 1) % (K / G);",
    ),
    "OverBudget": (
        "k0 += 128)",
        "k0 += 0)",
    ),
}
BLAMED = {"OutOfBounds": "n + 1] =", "Racy": "row["}


def verify(path: Path) -> tuple[int, dict[str, object]]:
    command = [sys.executable, "-m", "warpsmith", "verify", str(path), "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    return run.returncode, json.loads(run.stdout)


@pytest.mark.full
def test_the_honest_kernel_is_verified() -> None:
    code, answer = verify(HONEST)
    assert (0, "Verified") == (code, answer["outcome"]), answer


@pytest.mark.parametrize("outcome", TWINS)
def test_each_bad_twin_gets_its_outcome(outcome: str, tmp_path: Path) -> None:
    good, bad = TWINS[outcome]
    text = HONEST.read_text()
    assert 1 == text.count(good)
    twin = tmp_path / "twin.cu"
    twin.write_text(text.replace(good, bad))
    code, answer = verify(twin)
    assert (1, outcome) == (code, answer["outcome"]), answer
    if outcome in BLAMED:
        line = answer["line"]
        assert isinstance(line, int)
        assert BLAMED[outcome] in twin.read_text().splitlines()[line - 1]


def test_a_malformed_kernel_file_is_bad_input(tmp_path: Path) -> None:
    broken = tmp_path / "broken.cu"
    broken.write_text(HONEST.read_text().replace("// ///\n", "", 1).replace('grid = ["', 'grd = ["'))
    command = [sys.executable, "-m", "warpsmith", "verify", str(broken)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert 2 == run.returncode
    assert "broken.cu:" in run.stderr
    assert "Traceback" not in run.stderr
