"""The order in which things are done while there is time: what cannot be learned without a GPU comes first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from warpsmith.silicon.agreement import agree_all, check_all
from warpsmith.silicon.box import Box
from warpsmith.silicon.calibration import calibrate_all
from warpsmith.silicon.conformance import probe_all
from warpsmith.silicon.exports import export_all
from warpsmith.silicon.rig import Rig, Subject
from warpsmith.silicon.times import baseline_all, count_all, model_all, time_all


def run(rig: Rig, box: Box, chosen: tuple[Subject, ...]) -> dict[str, Any]:
    """Every step, as far as the time goes; what is done already is not done again.

    Returns:
        What is also in `run.json`: the GPU, what ran how long, what was left out and what failed.
    """
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        ("every kernel verified, its bits beside the emulator's", lambda: agree_all(rig, box, chosen)),
        ("instructions that the ISA leaves open", lambda: probe_all(rig, box)),
        ("times at bench shapes", lambda: time_all(rig, box, chosen)),
        ("calibration", lambda: calibrate_all(rig, box)),
        ("modelled times", lambda: model_all(rig, box, chosen)),
        ("counters", lambda: count_all(rig, box, chosen)),
        ("exports, without warpsmith", lambda: export_all(box)),
        ("baselines", lambda: baseline_all(rig, box, chosen)),
        ("compute-sanitizer", lambda: check_all(rig, box, chosen)),
    )
    ran: dict[str, float] = {}
    for name, step in steps:
        begun = box.left
        box.say(f"{name}: {max(0.0, begun):.0f} s left")
        step()
        ran[name] = round(begun - box.left, 1)
        summary = {
            **rig.facts(),
            "seconds": ran,
            "box": box.seconds,
            "left out": box.left_out,
            "failed": box.failed,
            "kernels": len(chosen),
            "done": not box.left_out and not box.failed,
        }
        box.write("run.json", summary)
    return summary
