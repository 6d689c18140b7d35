"""Runs as a list shows them."""

from __future__ import annotations

from dataclasses import dataclass

from warpsmith.core.events import StopReason


@dataclass(frozen=True, slots=True)
class StoredRun:
    """One run, without its events."""

    run: str
    task: str
    target: str
    device: str
    """`emulator` or `gpu`."""
    events: int
    started_at: str
    """UTC, ISO 8601."""
    updated_at: str
    last_reason: str | None
    """What its last event says of the end; None where it was cut off or is running."""

    @property
    def reason(self) -> StopReason | None:
        """Why it ended; None where it was cut off or is running."""
        return StopReason(self.last_reason) if self.last_reason else None

    @property
    def resumable(self) -> bool:
        return self.reason in (None, StopReason.INTERRUPTED)


SUMMARIES = """
SELECT runs.run, runs.task, runs.target, runs.device, count(*), min(recorded_at), max(recorded_at),
       (SELECT CASE kind WHEN 'RunFinished' THEN json_extract(payload, '$.reason') END
        FROM events AS last WHERE last.run = runs.run ORDER BY seq DESC LIMIT 1)
FROM runs JOIN events USING (run)
GROUP BY runs.run ORDER BY runs.position DESC
"""
