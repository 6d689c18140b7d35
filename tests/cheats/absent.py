"""Kernels that are wrong about which optional inputs there are, and honest ones that choose by it."""

from __future__ import annotations

from .case import based_on

biased = based_on("biased")

BIAS = "if (BIAS) sum"
_DOMAIN = 'task = "biased"'

ABSENT = (
    biased("a bias that is never added", (BIAS, "if (BIAS && M < 0) sum"), gets="Wrong", says="with a bias|b is given"),
    biased(
        "a bias taken for granted",
        (BIAS, "if (BIAS || M > 0) sum"),
        gets="OutOfBounds",
        says="b is absent here: a null pointer",
    ),
    biased(
        "a bias that is added in small layers alone",
        (BIAS, "if (BIAS && N * K < 20000) sum"),
        gets="Wrong|Inconclusive",
        says="hidden|bench-sized",
    ),
    biased(
        "a domain without the bias where it is timed",
        (_DOMAIN, f'{_DOMAIN}\n// requires = "has_b"'),
        gets="Rejected",
        says="outside `requires`: has_b",
    ),
)
CHOSEN = (
    biased("a kernel each for bias and none", gets="Verified"),
    biased("a null pointer tested", (BIAS, "if (b) sum"), gets="Verified"),
    biased(
        "a kernel that claims calls without a bias only",
        (_DOMAIN, f'{_DOMAIN}\n// requires = "not has_b"'),
        (BIAS, "if (BIAS && M < 0) sum"),
        gets="Verified",
    ),
)
