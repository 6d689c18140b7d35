"""How the VM is compiled: whoever builds it chooses how fast, and never what a sum is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = """
int main() {
    volatile double large = 1e20, small = 1;
    double a = large, b = small;
    return (a + b) - a == 1;
}
"""
COMMON = "from setup import COMMON_FLAGS; print(*COMMON_FLAGS, sep=chr(10))"


def simplified(folder: Path, *flags: str) -> bool:
    """Whether the compiler took a sum for what algebra says it is."""
    (folder / "sum.cpp").write_text(CODE)
    subprocess.run(["g++", "-O3", *flags, "sum.cpp", "-o", "sum"], cwd=folder, check=True)
    return subprocess.run([folder / "sum"], check=False).returncode == 1


def test_fast_arithmetic_that_cxxflags_ask_for_is_undone(tmp_path: Path) -> None:
    listed = subprocess.run([sys.executable, "-c", COMMON], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not simplified(tmp_path, "-ffast-math", *listed.stdout.split())
    assert simplified(tmp_path, "-ffast-math")
