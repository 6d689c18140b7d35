"""Which rules a verdict was given under."""

from __future__ import annotations

EDITION = "9"
"""Of the gate's rules. Raise it with every change by which a kernel verified before may be refused now: a new check, a
tighter tolerance, an instruction whose meaning was mended. Kernels of other editions are stale until judged again."""
