"""Every attack, and the honest kernels beside them."""

from __future__ import annotations

from .absent import ABSENT, CHOSEN
from .addresses import ADDRESSES, ALIGNED
from .altered import ALTERED
from .amplitudes import AMPLITUDES, LOUD
from .cancelling import CANCELLING, EXACT
from .disguises import DISGUISES, SAME_BLOCK
from .extremes import ENDS, EXTREMES
from .honest import HONEST as PLAIN
from .judged import CODES, JUDGED
from .limits import LIMITS, WITHIN
from .meeting import MEETING, MET
from .memory import MEMORY, ORDER
from .named import NAMED, NAMED_SIZES, PATIENT, UNREACHED
from .outputs import OUTPUTS, PACKED
from .packed import LISTED, UNLISTED
from .packed import VALUES as CODED
from .places import FIRST, PLACES
from .plans import PLAN
from .screen import SCREEN
from .sizes import SIZES
from .sparse import CLOUDS, SPARSE
from .values import VALUES

CHEATS = (
    *SIZES,
    *VALUES,
    *MEMORY,
    *ORDER,
    *SCREEN,
    *PLAN,
    *ADDRESSES,
    *MEETING,
    *ABSENT,
    *DISGUISES,
    *LIMITS,
    *OUTPUTS,
    *ALTERED,
    *NAMED,
    *NAMED_SIZES,
    *AMPLITUDES,
    *CODED,
    *UNLISTED,
    *SPARSE,
    *PLACES,
    *CANCELLING,
    *JUDGED,
    *EXTREMES,
)
HONEST = (
    *PLAIN,
    *ALIGNED,
    *MET,
    *CHOSEN,
    *SAME_BLOCK,
    *WITHIN,
    *PACKED,
    *LOUD,
    *LISTED,
    *CLOUDS,
    *FIRST,
    *EXACT,
    *CODES,
    *ENDS,
    *UNREACHED,
    *PATIENT,
)

__all__ = ["CHEATS", "HONEST"]
