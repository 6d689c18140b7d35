"""The known name a reader most likely meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], *, listed: int = 12) -> str:
    """Suggest the nearest of `known` ("Did you mean `cdiv`?"), or list them ("Known are: M, N, K.")."""
    names = list(dict.fromkeys(known))
    folded = {candidate.lower(): candidate for candidate in reversed(names)}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    if close:
        return f"Did you mean `{folded[close[0]]}`?"
    if not names:
        return ""
    shown = ", ".join(names[:listed])
    return f"Known are: {shown}{f' and {len(names) - listed} more' if len(names) > listed else ''}."
