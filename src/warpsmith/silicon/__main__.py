"""Everything that needs a GPU: `python -m warpsmith.silicon`, as `make gpu` starts it (`benchmarks/gpu.py`)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from warpsmith.core.errors import WarpsmithError
from warpsmith.gpus import Trouble, architecture_of, find_gpus, why_unknown, worker_command
from warpsmith.sandbox.compile import CompileCache, compile_unit
from warpsmith.sandbox.device.baselines import Baselines
from warpsmith.sandbox.device.messages import DeviceInfo
from warpsmith.sandbox.device.pool import Pool
from warpsmith.sandbox.device.tools import Tools
from warpsmith.settings import Settings, read_settings
from warpsmith.silicon.box import FILES, SECONDS, Box
from warpsmith.silicon.merge import slug
from warpsmith.silicon.rig import Rig, nearest_architecture, subjects
from warpsmith.silicon.steps import run

ROOT = Path(__file__).resolve().parents[3]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 without a GPU."""
    parser = argparse.ArgumentParser(prog="make gpu", description=__doc__)
    parser.add_argument("--out", type=Path, help="folder of the results; default: benchmarks/results/<gpu>")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="no unit of work begins later")
    options = parser.parse_args(arguments)
    settings = read_settings()
    try:
        found = find_gpus(settings)
        if isinstance(found, Trouble):
            _say(f"make gpu: no GPU was found. {found.message} {found.remedy}")
            return 1
        device = _best(found)
        why = "" if architecture_of(device) else why_unknown(device)
        if device.uuid.startswith("MIG-") or "MIG" in device.name:
            _say(f"make gpu: no whole GPU was found. {why}; results of one would mislead.")
            return 1
        box = Box(options.out or ROOT / "benchmarks" / "results" / slug(device.name), options.seconds, _say)
        made = rig(device, settings)
        _say(f"{device.name}, results in {box.folder}")
        if why:
            _say(f"{why}; times are compared with {made.arch.name}'s bounds and model, which are not its own.")
        summary = run(made, box, subjects())
        made.pool.close()
    except WarpsmithError as error:
        _say(f"make gpu: {error}")
        return 1
    _say(_closing(summary["left out"], summary["failed"], box))
    return 0


def _best(found: Sequence[DeviceInfo]) -> DeviceInfo:
    """The first GPU that the table has, else the first that is whole, else the first."""
    whole = [device for device in found if not device.uuid.startswith("MIG-")]
    return next((device for device in found if architecture_of(device)), (whole or list(found))[0])


def rig(device: DeviceInfo, settings: Settings) -> Rig:
    """One GPU, with the compiler and the tools of this machine."""
    kept = CompileCache(settings.cache / "compiled")
    pool = Pool((device,), worker_command(settings))
    return Rig(
        device=device,
        arch=nearest_architecture(device),
        pool=pool,
        compiler=lambda unit, target: compile_unit(unit, target, cache=kept),
        tools=Tools.installed(device.uuid, settings.worker_environment),
        baselines=Baselines(pool),
        threads=settings.threads,
    )


def _closing(left_out: Sequence[str], failed: Sequence[str], box: Box) -> str:
    files = ", ".join(name for name in FILES if (box.folder / name).is_file())
    more = f"; {len(left_out)} units had no time: run it again to go on" if left_out else ""
    broken = f"; {len(failed)} units failed, see run.json" if failed else ""
    return f"{files}{more}{broken}"


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the program's own output


if __name__ == "__main__":
    sys.exit(main())
