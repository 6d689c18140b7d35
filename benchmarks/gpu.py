"""Starts `warpsmith.silicon` on a machine that has a GPU and little else: `make gpu`. Standard library alone.

Installs nothing. Needs torch 2.11, triton 3.6, numpy and a CUDA 13 toolkit or its wheels; what else warpsmith imports
(pydantic and four small packages) is unpacked from wheels in `.gpu/wheels`, where `benchmarks/gpu_wheels.py` puts them.
The emulator's VM is built in place unless a library of just these sources is there.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".gpu"
FOLDERS = ("agents", "kernels_generated", "profiler", "sandbox", "seeds", "tasks")
SECONDS = 480.0
NEEDED = ("torch", "triton", "numpy", "pydantic", "platformdirs")
LEAST_SECONDS = 60.0
"""For the steps, whatever building took."""


def main() -> int:
    begun = time.monotonic()
    trouble = gpu_trouble()
    if trouble:
        print(f"make gpu: no GPU was found ({trouble}).")
        return 1
    environment = prepare(WORK)
    if lacking(environment):
        # Carried wheels only where they are needed: they are of one Python version, and shadow what is installed.
        environment = prepare(WORK, carried=True)
    missing = lacking(environment)
    if missing:
        print(f"make gpu: {', '.join(missing)} cannot be imported; carry wheels: python benchmarks/gpu_wheels.py.")
        return 1
    log = build_vm(environment)
    if log:
        print(f"make gpu: the emulator's VM did not build; it needs setuptools and a C++17 compiler.\n{log}")
        return 1
    left = max(LEAST_SECONDS, SECONDS - (time.monotonic() - begun))
    arguments = [sys.executable, "-m", "warpsmith.silicon", "--seconds", str(round(left)), *sys.argv[1:]]
    return subprocess.run(arguments, cwd=ROOT, env=environment, check=False).returncode


def gpu_trouble() -> str:
    """Why there is no GPU to use; empty where there is one."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "libcuda.so.1, the NVIDIA driver's library, is not there"
    status = driver.cuInit(0)
    if status:
        return f"cuInit answers {status}"
    count = ctypes.c_int()
    status = driver.cuDeviceGetCount(ctypes.byref(count))
    return "the driver shows no device" if status or not count.value else ""


def prepare(work: Path, *, carried: bool = False) -> dict[str, str]:
    """Make the folders that imports come from, `carried` wheels among them; the environment that names them."""
    tree = work / "import" / "warpsmith"
    shutil.rmtree(work / "import", ignore_errors=True)
    tree.mkdir(parents=True)
    parts = [path for path in sorted((ROOT / "src" / "warpsmith").iterdir()) if path.name != "__pycache__"]
    for path in (*parts, *(ROOT / folder for folder in FOLDERS)):
        (tree / path.name).symlink_to(path)
    site = work / "site"
    shutil.rmtree(site, ignore_errors=True)
    for wheel in sorted((work / "wheels").glob("*.whl")) if carried else ():
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(site)
    places = [str(work / "import"), str(site), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(place for place in places if place)}


def lacking(environment: dict[str, str]) -> list[str]:
    """Packages that cannot be imported."""
    code = "import importlib, sys\nfor name in sys.argv[1:]:\n    try: importlib.import_module(name)\n"
    code += "    except ImportError: print(name)\n"
    told = subprocess.run(
        [sys.executable, "-c", code, *NEEDED], env=environment, capture_output=True, text=True, check=False
    )
    return told.stdout.split() or ([told.stderr.strip()[-300:]] if told.returncode else [])


def build_vm(environment: dict[str, str]) -> str:
    """Build the VM unless it is there; the end of the log where that fails."""
    code = "from warpsmith.sandbox.emulator.vm.bindings import library; library()"
    if not subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False).returncode:
        return ""
    print("make gpu: building the emulator's VM (a minute or two)", flush=True)
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", "--force"]
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return "" if built.returncode == 0 else (built.stdout + built.stderr)[-2000:] or "it said nothing"


if __name__ == "__main__":
    sys.exit(main())
