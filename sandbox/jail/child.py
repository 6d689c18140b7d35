"""Every jailed process: runs a program's `prepare`, gives everything up, then serves requests from stdin one by one.

Run by path under `python -I -S` with the program's path, so it and the programs import the standard library alone.
A program defines `prepare(setup)`, which gets no candidate's text and loads all that is needed, and
`work(message, blobs)`, which gives a reply and its blobs.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warpsmith.sandbox.jail.confinement import confine, die_with_parent
    from warpsmith.sandbox.jail.wire import Blob, Channel, ChannelClosed
else:
    sys.path.insert(0, str(Path(__file__).parent))
    from confinement import confine, die_with_parent
    from wire import Blob, Channel, ChannelClosed

    del sys.path[0]


def main(program: str) -> None:
    """Serve until nobody asks any more."""
    outgoing = os.dup(1)
    # What a library prints by itself must not end up between the bytes of a reply.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    channel = Channel(0, outgoing)
    setup = channel.receive().message
    die_with_parent(setup["parent"])
    _offer_itself()
    serving = _load(program)
    try:
        serving.prepare(setup["program"])
    except (OSError, ImportError, AttributeError) as error:
        channel.send({"refused": f"{type(error).__name__}: {error}"})
        return
    held = confine(setup)
    channel.send({"held": held})
    while True:
        try:
            message, blobs = channel.receive()
        except ChannelClosed:
            break
        reply: tuple[dict[str, Any], Sequence[Blob]] = serving.work(message, blobs)
        channel.send(*reply)
    # Unloading a compiler takes longer than leaving.
    os._exit(0)


def _offer_itself() -> None:
    """Be the first that the kernel ends where memory runs out; under bubblewrap there is no /proc, and it is so
    already.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _load(program: str) -> Any:
    spec = importlib.util.spec_from_file_location("program", program)
    assert spec is not None, "programs are Python files"
    assert spec.loader is not None
    sys.path.insert(0, str(Path(program).parent))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    del sys.path[0]
    return module


if __name__ == "__main__":
    main(sys.argv[1])
