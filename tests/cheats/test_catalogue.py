"""Every attack is refused for the right reason, beside honest kernels that are accepted."""

from __future__ import annotations

import re
from zlib import crc32

import pytest

from warpsmith.core.errors import KernelFileError
from warpsmith.core.outcome import Failure, Verified
from warpsmith.sandbox.gate.stages import Gate, read_candidate

from .case import Case
from .catalogue import CHEATS, HONEST


def verdict(gates: dict[str, Gate], case: Case, seed: int) -> tuple[str, str]:
    """(kind, everything said) of one evaluation."""
    gate = gates.get(case.base, gates["linear"])
    try:
        outcome = gate.evaluate(read_candidate(case.text), seed=seed).outcome
    except KernelFileError as error:
        return "KernelFileError", f"{error.message} {error.remedy}"
    if isinstance(outcome, Failure):
        return outcome.kind, " ".join((outcome.message, outcome.workload or "", *outcome.details))
    return outcome.kind, " ".join(outcome.notes) if isinstance(outcome, Verified) else ""


@pytest.mark.parametrize("case", CHEATS, ids=lambda case: case.name)
def test_an_attack_is_refused_for_the_right_reason(case: Case, gates: dict[str, Gate]) -> None:
    kind, said = verdict(gates, case, crc32(case.name.encode()))
    assert kind in case.outcomes.split("|"), said
    assert re.search(case.says, said), said


@pytest.mark.parametrize("case", HONEST, ids=lambda case: case.name)
def test_an_honest_kernel_is_accepted(case: Case, gates: dict[str, Gate]) -> None:
    for seed in (1, 2):
        kind, said = verdict(gates, case, seed)
        assert kind == "Verified", said
