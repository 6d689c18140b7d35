"""Evaluations without their counters: a twentieth of the size, and all that pages about runs show."""

from __future__ import annotations

from typing import Any

from warpsmith.core.events import Confirmed, Evaluated, Event

_WORKLOAD: dict[str, Any] = {"workload": True, "duration": True, "bound": True}
_KEPT: dict[str, Any] = {
    "kind": True,
    "evaluation": {
        "candidate": True,
        "outcome": True,
        "stages": True,
        "profile": {"workloads": {"__all__": _WORKLOAD}},
    },
}

BRIEFLY = """
SELECT events.seq, coalesce(briefs.payload, events.payload)
FROM events LEFT JOIN briefs USING (run, seq)
WHERE events.run = ? AND events.seq >= ? ORDER BY events.seq
"""
"""Events of a run in order, by their briefs where they have one."""

UNBRIEFED = """
SELECT run, seq FROM events INDEXED BY events_listed
WHERE kind IN ('Evaluated', 'Confirmed') AND NOT EXISTS (
    SELECT 1 FROM briefs WHERE briefs.run = events.run AND briefs.seq = events.seq)
"""


def brief_of(event: Event) -> str | None:
    """The event's JSON without counters; None where its own is short."""
    return event.model_dump_json(include=_KEPT) if isinstance(event, Evaluated | Confirmed) else None
