"""What the README tells people to type works, in its order, in a folder of its own."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ (warpsmith .*)$", README, re.MULTILINE)
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


DEMO = os.environ.get("WARPSMITH_DEMO")
"""The folder of a `make demo` that has run, which is the first command: others go on from what it left."""


def environment(folder: Path) -> dict[str, str]:
    own = {"WARPSMITH_STORE": str(folder / "store.sqlite"), "WARPSMITH_LIBRARY": str(folder / "library")}
    return os.environ | own | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.full
def test_every_command_and_snippet_of_the_readme_works(tmp_path: Path) -> None:
    assert COMMANDS
    assert SNIPPETS
    if DEMO:
        shutil.copytree(DEMO, tmp_path, dirs_exist_ok=True)
    assert COMMANDS[0] == "warpsmith optimize w4a16_gemm"
    for command in COMMANDS[1:] if DEMO else COMMANDS:
        run = subprocess.run(
            shlex.split(command), cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, check=False
        )
        assert 0 == run.returncode, f"{command}: {run.stdout}{run.stderr}"
        assert "Traceback" not in run.stderr
    for snippet in SNIPPETS:
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", snippet + "\nassert y.shape == (4, 128) and y.isfinite().all()"],
            cwd=tmp_path,
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == run.returncode, run.stderr


def test_the_readme_opens_with_what_it_does_and_its_two_commands() -> None:
    head = README[: README.index("## ")]
    assert "make demo" in head
    assert "make test" in head
    assert "no GPU" in head
