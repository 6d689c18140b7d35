"""Every attack is refused for the right reason, beside honest kernels that are accepted."""

from __future__ import annotations

import re
from typing import Any
from zlib import crc32

import pytest

from warpsmith.core.errors import KernelFileError
from warpsmith.core.outcome import Failure, Verified
from warpsmith.sandbox.gate.stages import Gate, read_candidate

from .altered import ALTERED
from .amplitudes import AMPLITUDES
from .case import Case
from .catalogue import CHEATS, HONEST
from .extremes import EXTREMES
from .judged import JUDGED
from .named import NAMED, NAMED_SIZES
from .packed import UNLISTED
from .packed import VALUES as CODED
from .places import PLACES
from .sizes import SIZES
from .sparse import SPARSE

LATE = (
    *ALTERED, *NAMED[1:], *NAMED_SIZES[1:], *AMPLITUDES, *CODED, *UNLISTED, *SPARSE[1:], *PLACES[1:], *JUDGED[1:],
    *EXTREMES,
)  # fmt: skip
"""Those that the gate refuses in its longest stage, or that others stand for in the quick suite."""
LAST = re.compile("hidden|bench-sized|timed|no workload small enough|this launch")
"""What is said of those that it refuses in its last stages: the first of SIZES stands for them there."""
QUICK = frozenset({"tile", "compact", "largest", "curved", "voxels", "biased"})
"""Bases whose first honest kernel stands for all others in the quick suite."""


def attacks() -> list[Any]:
    """One test each."""
    late = {case.name for case in CHEATS if case in LATE or LAST.search(case.says)} - {SIZES[0].name}
    return [pytest.param(case, id=case.name, marks=pytest.mark.full if case.name in late else ()) for case in CHEATS]


def controls() -> list[Any]:
    """One test each."""
    first = {case.base: case for case in reversed(HONEST)}
    quick = [first[base] for base in QUICK]
    return [pytest.param(case, id=case.name, marks=() if case in quick else pytest.mark.full) for case in HONEST]


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


@pytest.mark.parametrize("case", attacks())
def test_an_attack_is_refused_for_the_right_reason(case: Case, gates: dict[str, Gate]) -> None:
    kind, said = verdict(gates, case, crc32(case.name.encode()))
    assert kind in case.outcomes.split("|"), said
    assert re.search(case.says, said), said


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.full)])
@pytest.mark.parametrize("case", controls())
def test_an_honest_kernel_is_accepted(case: Case, seed: int, gates: dict[str, Gate]) -> None:
    kind, said = verdict(gates, case, seed)
    assert kind == "Verified", said
    assert re.search(case.says, said), said
