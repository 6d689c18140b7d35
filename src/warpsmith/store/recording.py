"""A run as one text file: for sending, keeping in a repository, and replaying.

JSON lines: a header, then every text with its digest, then every event in order.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from warpsmith.core.digest import digest_text
from warpsmith.core.errors import SettingsError
from warpsmith.core.events import EVENT, Accepted, Called, Event, Proposed, RunStarted
from warpsmith.core.files import write_named
from warpsmith.store.store import Store

FORMAT = "warpsmith run 1"


def write_recording(store: Store, run: str, path: Path) -> int:
    """Write a run with all its texts; the number of events.

    Raises:
        SettingsError: there is no such run, or the file's name is a folder's.
        OSError: there is no space, or no right to write.
    """
    events = store.events(run)
    if not events:
        raise SettingsError(f"the store holds no run {run}.", remedy="See warpsmith runs list.")
    digests = dict.fromkeys(digest for event in events for digest in texts_of(event))
    lines = [json.dumps({"format": FORMAT, "run": run})]
    lines += [json.dumps({"digest": it, "text": store.get_text(it)}, ensure_ascii=False) for it in digests]
    lines += [_portable(event).model_dump_json() for event in events]
    write_named(path, "\n".join(lines) + "\n")
    return len(events)


def _portable(event: Event) -> Event:
    """The event without this machine's folders."""
    match event:
        case RunStarted():
            names = {role: _without_folder(getattr(event.settings, role)) for role in ("coder", "judge")}
            return event.model_copy(update={"settings": event.settings.model_copy(update={"library": "", **names})})
        case Accepted():
            return event.model_copy(update={"path": Path(event.path).name})
        case _:
            return event


def _without_folder(model: str) -> str:
    """`handoff:/some/folder@who` -> `handoff:who`."""
    kind, _, rest = model.partition(":")
    return f"{kind}:{rest.rpartition('@')[2].rpartition('/')[2]}" if kind in ("handoff", "scripted") else model


def texts_of(event: Event) -> tuple[str, ...]:
    """Digests of the texts an event speaks of."""
    match event:
        case RunStarted() if event.seed_kernel:
            return (event.seed_kernel,)
        case Proposed():
            return (event.text_digest,)
        case Called():
            return tuple(digest for digest in (event.prompt, event.reply) if digest)
        case _:
            return ()


def read_recording(path: Path, store: Store) -> str:
    """Put a recorded run into a store, where it is not there yet; its name.

    Raises:
        SettingsError: the file is none, or damaged.
    """
    try:
        header, *lines = path.read_text(encoding="utf-8").splitlines()
        if json.loads(header).get("format") != FORMAT:
            raise ValueError("it has another format")
        run = str(json.loads(header)["run"])
        texts, events = dict[str, str](), list[Event]()
        for line in lines:
            record = json.loads(line)
            if "kind" in record:
                events.append(EVENT.validate_json(line))
            else:
                texts[record["digest"]] = record["text"]
    except (OSError, ValueError, KeyError, AttributeError, ValidationError) as error:
        raise SettingsError(
            f"{path} is no recorded run: {error}.", remedy="Write one: warpsmith runs export."
        ) from error
    for digest, text in texts.items():
        if digest_text(text) != digest:
            raise SettingsError(f"{path} is damaged: text {digest[:12]} is not what its digest says.")
        store.put_text(text)
    # Where an earlier reading was cut short it goes on; what is there stays.
    for at in range(len(store.events(run)), len(events)):
        store.append(run, events[at], at=at)
    return run
