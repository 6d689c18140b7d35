"""Damaged texts end in a refusal or a verdict: never in another exception, a crash or a hang. More with `make fuzz`."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from ..fuzzing.mutations import MUTATIONS, mutated, words_of
from ..fuzzing.targets import TARGETS, parse, ptx_texts, run

ROOT = Path(__file__).parents[2]


def answers(target: str, cases: int, seed: int) -> dict[str, int]:
    command = [sys.executable, "-m", "tests.fuzzing", target, f"--cases={cases}", f"--seed={seed}"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == ran.returncode, ran.stderr
    found: dict[str, int] = json.loads(ran.stdout)["answers"][target]
    return found


@pytest.mark.parametrize(("target", "cases"), [("kernel-file", 50), ("expression", 300), ("vm", 60), ("wire", 1000)])
def test_damaged_texts_are_answered(target: str, cases: int) -> None:
    found = answers(target, cases, seed=1)
    assert 0 == found.pop("findings")
    assert cases == sum(found.values())
    assert len(found) > 1


@pytest.mark.full
@pytest.mark.parametrize(
    ("target", "cases"),
    [("kernel-file", 2000), ("expression", 10000), ("ptx", 600), ("vm", 4000), ("programs", 30), ("wire", 20000)],
)
def test_many_damaged_texts_are_answered(target: str, cases: int) -> None:
    assert 0 == answers(target, cases, seed=2)["findings"]


def test_real_ptx_cut_off_anywhere_is_answered() -> None:
    text = min(ptx_texts(), key=len)
    ends = {parse(text[:at]) for at in range(0, len(text), 97)}
    assert {"PtxSyntaxError", "module"} >= ends
    assert "result" == run(text) or run(text).startswith("fault")


def test_a_crash_is_found_and_says_how_to_see_it_again(tmp_path: Path) -> None:
    """The child dies as a crash would make it die; the next case runs all the same."""
    text = "import os\nfrom tests.fuzzing import __main__ as fuzz\nfrom tests.fuzzing.targets import TARGETS, Target\n"
    text += "calls = iter(range(9))\n"
    text += "TARGETS['expression'] = Target(lambda rng: '1', lambda text: 'fine' if next(calls) else os.abort())\n"
    (tmp_path / "dying.py").write_text(text + "fuzz.child('expression', 0, 7, 3, fuzz.Path('report'))\n")
    environment = {"PYTHONPATH": f"{ROOT}", "PATH": "/usr/bin:/bin"}
    ran = subprocess.run([sys.executable, "dying.py"], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert 0 != ran.returncode
    assert "7\n" == (tmp_path / "report").read_text()


def test_every_kind_of_damage_changes_a_text_in_time() -> None:
    text, rng = ptx_texts()[0], random.Random(3)
    words = words_of([text])
    for mutation in MUTATIONS:
        assert any(mutation(rng, text, words) != text for _ in range(5)), mutation
        assert isinstance(mutation(rng, "", words), str)
    assert text != mutated(rng, text, words) or text != mutated(rng, text, words)
    assert {"kernel-file", "expression", "ptx", "vm", "wire", "programs"} == set(TARGETS)
