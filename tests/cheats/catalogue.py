"""Every attack, and the honest kernels beside them."""

from __future__ import annotations

from .absent import ABSENT, CHOSEN
from .addresses import ADDRESSES, ALIGNED
from .honest import HONEST as PLAIN
from .meeting import MEETING, MET
from .memory import MEMORY, ORDER
from .plans import PLAN
from .screen import SCREEN
from .sizes import SIZES
from .values import VALUES

CHEATS = (*SIZES, *VALUES, *MEMORY, *ORDER, *SCREEN, *PLAN, *ADDRESSES, *MEETING, *ABSENT)
HONEST = (*PLAIN, *ALIGNED, *MET, *CHOSEN)

__all__ = ["CHEATS", "HONEST"]
