"""Everything that needs a GPU: `python -m warpsmith.gpu`, as `make gpu` starts it (`benchmarks/gpu.py`)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from warpsmith.core.errors import WarpsmithError
from warpsmith.gpu.box import FILES, SECONDS, Box
from warpsmith.gpu.merge import slug
from warpsmith.gpu.rig import Rig, architecture_of, subjects
from warpsmith.gpu.steps import run
from warpsmith.sandbox.compile import CompileCache, compile_unit
from warpsmith.sandbox.device.baselines import Baselines
from warpsmith.sandbox.device.messages import DeviceInfo, Surveyed
from warpsmith.sandbox.device.pool import Pool, survey
from warpsmith.sandbox.device.process import WorkerCommand
from warpsmith.sandbox.device.tools import Tools
from warpsmith.settings import read_settings

ROOT = Path(__file__).resolve().parents[3]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 without a GPU."""
    parser = argparse.ArgumentParser(prog="make gpu", description=__doc__)
    parser.add_argument("--out", type=Path, help="folder of the results; default: benchmarks/results/<gpu>")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="no unit of work begins later")
    options = parser.parse_args(arguments)
    try:
        found = survey(WorkerCommand())
        if not isinstance(found, Surveyed) or not found.devices:
            reason = "the driver shows no device" if isinstance(found, Surveyed) else found.message
            _say(f"make gpu: no GPU was found ({reason}).")
            return 1
        device = found.devices[0]
        box = Box(options.out or ROOT / "benchmarks" / "results" / slug(device.name), options.seconds, _say)
        with_pool = rig(device, box)
        _say(f"{device.name}, results in {box.folder}")
        summary = run(with_pool, box, subjects())
        with_pool.pool.close()
    except WarpsmithError as error:
        _say(f"make gpu: {error}")
        return 1
    _say(_closing(summary["left out"], summary["failed"], box))
    return 0


def rig(device: DeviceInfo, box: Box) -> Rig:
    """One GPU, with the compiler and the tools of this machine."""
    settings = read_settings()
    kept = CompileCache(settings.cache / "compiled")
    pool = Pool((device,), WorkerCommand())
    return Rig(
        device=device,
        arch=architecture_of(device),
        pool=pool,
        compiler=lambda unit, target: compile_unit(unit, target, cache=kept),
        tools=Tools(device.uuid),
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
