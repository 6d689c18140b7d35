"""What a worker is told to give up, and how it does: read by the worker itself, so it imports little."""

from __future__ import annotations

import json

from warpsmith.sandbox.jail.confinement import confine


def give_up(orders: str) -> tuple[str, ...]:
    """Confine this process as its orders say; what took hold."""
    return tuple(confine(json.loads(orders))) if orders else ()
