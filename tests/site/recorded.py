"""A library and a store as one recorded run of a language model left them, without running anything again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from warpsmith.core.candidate import Candidate
from warpsmith.core.events import Evaluated, Proposed, RunStarted
from warpsmith.core.protocols import Circumstances, Evaluation
from warpsmith.kernels_generated.accept import write_kernel
from warpsmith.kernels_generated.manifest import Ancestor, Lineage
from warpsmith.sandbox.edition import EDITION
from warpsmith.store import Store
from warpsmith.store.recording import read_recording
from warpsmith.tasks.load import load_task

RECORDING = Path(__file__).parents[2] / "examples" / "runs" / "spconv_forward.jsonl"
BEST, BEFORE = "641b4df7830d", "fcfc41a4c52a"
"""First digits of the candidate that was accepted last, and of the one tried before it."""


def digest_of(library: Path, candidate: str) -> str:
    """The name of a candidate's kernel in the library, which depends on the task's text, too."""
    manifests = {path.parent.name: json.loads(path.read_bytes())["manifest"] for path in library.rglob("kernel.json")}
    (name,) = [name for name, manifest in manifests.items() if manifest["candidate"].startswith(candidate)]
    return name


def record(store: Store, library: Path) -> tuple[str, tuple[Path, ...]]:
    """Enter the recorded run; write each of its verified candidates to the library: the run's name, the folders."""
    run = read_recording(RECORDING, store)
    events = store.events(run)
    started = next(event for event in events if isinstance(event, RunStarted))
    proposed = {event.candidate: event for event in events if isinstance(event, Proposed)}
    folders = [
        _write(store, library, started, proposed[event.evaluation.candidate], event.evaluation)
        for event in events
        if isinstance(event, Evaluated) and event.evaluation.profile
    ]
    return run, tuple(folders)


def _write(store: Store, library: Path, started: RunStarted, of: Proposed, evaluation: Evaluation) -> Path:
    text = store.get_text(of.text_digest)
    candidate = Candidate(task=started.task, language=of.language, text=text, knobs=of.knobs)
    lineage = Lineage(
        run=started.run,
        coder=of.by,
        judge=started.settings.judge,
        strategy=started.settings.strategy,
        rounds=of.round,
        ancestors=(Ancestor(candidate=of.candidate, change=of.idea, by=of.by),),
    )
    created = datetime(2026, 11, 20, 12, tzinfo=UTC)
    judged = evaluation.model_copy(update={"circumstances": Circumstances(gate=EDITION)})
    return write_kernel(library, candidate, judged, task=load_task(started.task), lineage=lineage, created=created)
