"""Collects into `.gpu/wheels` what `make gpu` imports and a machine with torch lacks: six small wheels.

    python benchmarks/gpu_wheels.py [--python 3.12]

Versions are those of constraints.txt. All are pure Python but pydantic_core, which is one wheel for a Python version.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".gpu" / "wheels"
PACKAGES = (
    *("pydantic", "pydantic_core", "annotated-types", "typing-inspection", "typing_extensions"),
    "platformdirs",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default="3.12", help="of the machine with the GPU")
    version = parser.parse_args().python
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    platforms = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", version, "--implementation", "cp", "--dest", str(FOLDER)]
    command += [word for platform in platforms for word in ("--platform", platform)]
    done = subprocess.run([*command, *map(pinned, PACKAGES)], check=False).returncode
    if done == 0:
        found = sorted(FOLDER.glob("*.whl"))
        print(f"{len(found)} wheels, {sum(path.stat().st_size for path in found) / 1e6:.1f} MB in {FOLDER}")
    return done


def pinned(package: str) -> str:
    """`pydantic==2.14.3`, as constraints.txt says."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    plain = package.lower().replace("_", "-")
    return next(line for line in lines if line.lower().replace("_", "-").startswith(f"{plain}=="))


if __name__ == "__main__":
    sys.exit(main())
