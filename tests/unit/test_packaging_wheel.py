"""The wheel that an sdist builds holds everything and works from any folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.full


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    parts = [str(part) for part in command]
    ran = subprocess.run(parts, cwd=cwd, env=os.environ | environment, capture_output=True, text=True)
    assert ran.returncode == 0, f"{command} ended with {ran.returncode}:\n{ran.stdout[-2000:]}\n{ran.stderr[-4000:]}"
    return ran.stdout


def copy_of_checkout(to: Path) -> Path:
    """What git would see: no build products, no caches."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in listed.split("\0"):
        source, target = ROOT / name, to / name
        if name and (source.is_file() or source.is_symlink()):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target, follow_symlinks=False)
    return to


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from an sdist built from a copy of the checkout, its VM not optimised much, which takes minutes."""
    folder = tmp_path_factory.mktemp("build")
    source = copy_of_checkout(folder / "source")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", source]
    run(*build, cwd=folder, CXXFLAGS="-O1")
    (found,) = (folder / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; what it depends on comes from this one's site-packages.

    A .pth line adds that folder to the path without running the .pth files in it, so this checkout's editable
    install stays out.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    where = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    (Path(where) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def test_the_wheel_holds_every_source_header_task_and_seed(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    folders = ("agents/", "kernels_generated/", "profiler/", "sandbox/", "seeds/", "tasks/")
    expected = {f"warpsmith/{name}" for name in listed if name.startswith(folders) and (ROOT / name).is_file()}
    expected |= {name.removeprefix("src/") for name in listed if name.startswith("src/") and (ROOT / name).is_file()}
    assert set() == expected - inside
    assert [] == [name for name in inside if not name.startswith("warpsmith")]


def test_the_wheel_serves_every_python_from_its_own(wheel: Path) -> None:
    assert wheel.name.endswith("-cp311-abi3-linux_x86_64.whl")


def test_the_installed_command_works_from_another_folder(installed: Path, tmp_path: Path) -> None:
    command, python = installed / "bin" / "warpsmith", installed / "bin" / "python"
    place = run(python, "-c", "import warpsmith.sandbox; print(warpsmith.sandbox.__file__)", cwd=tmp_path)
    assert Path(place.strip()).is_relative_to(installed)
    assert "optimize" in run(command, "--help", cwd=tmp_path)
    listed = json.loads(run(command, "tasks", "list", "--json", cwd=tmp_path))
    paths = [Path(item["path"]) for item in listed["tasks"]]
    assert paths
    assert all(path.is_relative_to(installed) for path in paths)


def test_the_installed_command_verifies_a_seed(installed: Path, tmp_path: Path) -> None:
    find = "from warpsmith import seeds; print(seeds.__path__[0])"
    folder = Path(run(installed / "bin" / "python", "-c", find, cwd=tmp_path).strip())
    seed = sorted(folder.glob("w4a16_gemm/naive*.cu"))[0]
    verdict = json.loads(run(installed / "bin" / "warpsmith", "verify", seed, "--json", "--seed", "7", cwd=tmp_path))
    assert "Verified" == verdict["outcome"]
