"""What setuptools, mypy and git believe the program to be is one and the same."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def root_packages() -> set[str]:
    return {path.parent.name for path in ROOT.glob("*/__init__.py")}


def listed(*patterns: str) -> set[str]:
    found = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {name for name in found.stdout.split("\0") if name and (ROOT / name).is_file()}


def test_every_root_package_is_mapped_linked_and_checked() -> None:
    setup = (ROOT / "setup.py").read_text()
    mapped = set(re.findall(r'"(\w+)"', setup.split("FOLDERS = [")[1].split("]")[0]))
    linked = {path.name for path in (ROOT / "typings_tree" / "warpsmith").iterdir()}
    checked = {name.removeprefix("warpsmith.") for name in PYPROJECT["tool"]["mypy"]["packages"] if "." in name}
    assert root_packages() == mapped == linked == checked


def test_type_checker_links_lead_to_their_folders() -> None:
    for path in (ROOT / "typings_tree" / "warpsmith").iterdir():
        assert (ROOT / path.name).resolve() == path.resolve()


def test_mypy_checks_every_source_file() -> None:
    from mypy.main import process_options

    sources, _ = process_options(["--config-file", str(ROOT / "pyproject.toml")], fscache=None)
    checked = {Path(source.path).resolve() for source in sources if source.path}
    folders = (*(f"{name}/*.py" for name in sorted(root_packages())), "src/*.py")
    # Triton seeds are kernels: data in Python's syntax, without types.
    expected = {(ROOT / name).resolve() for name in listed(*folders) if not re.match(r"seeds/[a-z0-9_]+/", name)}
    assert set() == {str(path.relative_to(ROOT)) for path in expected - checked}


def test_constraints_pin_exactly_and_name_no_local_file() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert [] == [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9a-z.]*", line)]
    pins = {name.lower().replace("_", "-"): version for name, version in (line.split("==") for line in lines)}
    assert "warpsmith" not in pins
    cuda = [version for name, version in pins.items() if re.match(r"nvidia-cuda-|cuda-bindings", name)]
    assert ["13.0"] * len(cuda) == [version.rpartition(".")[0] for version in cuda]


def test_constraints_pin_every_declared_dependency() -> None:
    project = PYPROJECT["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.match(r"[A-Za-z0-9_.-]+", text).group().lower() for text in declared}  # type: ignore[union-attr]
    pinned = {line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert set() == names - pinned


def test_every_make_target_says_what_it_does() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)[0].split())
    described = set(re.findall(r"^([a-z-]+):.*## \S", text, re.MULTILINE))
    assert targets == described
