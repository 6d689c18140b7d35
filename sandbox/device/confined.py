"""A GPU's worker in the jail: what it may reach, and how it gives the rest up before it gets a candidate's code.

The driver is loaded and the device opened first; what they need of the machine is never asked of a jail that has
closed. Device nodes are named one by one, and no memory limit is set: the driver reserves more addresses than any
machine has memory.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from warpsmith.sandbox.jail.bubblewrap import SYSTEM, interpreter, wrapped
from warpsmith.sandbox.jail.levels import Level
from warpsmith.sandbox.jail.worker import NEEDED

_NODES = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset", "nvidia-caps", "nvidia[0-9]*", "dxg")
"""Under /dev, as NVIDIA's driver and WSL name them."""
_FACTS = ("/proc/driver/nvidia", "/proc/devices", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices", "/sys/bus/pci")
_OWN = "/proc/self"
_FILE_BYTES = 64 << 20
_THREADS = 8192
_UNLIMITED = -1
_LONG_SECONDS = 1 << 30


@dataclass(frozen=True, slots=True)
class Confinement:
    """How a worker's process is confined."""

    level: Level
    readable: tuple[str, ...] = ()
    """Files and folders that it reads besides Python's, warpsmith's and the driver's."""
    devices: tuple[str, ...] = ()
    """Nodes it may open."""

    def command(self, arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        """The command that starts it where it sees no more than it may."""
        if self.level is not Level.BUBBLEWRAP:
            return [*arguments]
        facts = [path for path in _FACTS if Path(path).exists()]
        reads = (*packages(), *self.readable, *facts)
        return wrapped(arguments, reads, devices=self.devices, environment=environment)

    @property
    def orders(self) -> str:
        """What it gives up by itself, as JSON for `confine`."""
        reads = (*SYSTEM, *interpreter(), *packages(), *self.readable, *_FACTS, _OWN)
        orders = {
            "level": self.level.value,
            "limits": {
                "memory_bytes": _UNLIMITED,
                "cpu_seconds": _LONG_SECONDS,
                "file_bytes": _FILE_BYTES,
                "processes": _THREADS,
            },
            "readable": [os.devnull, "/dev/urandom", *reads],
            "writable": [os.devnull],
            "devices": list(self.devices),
            "executable": [],
        }
        return json.dumps(orders)


def device_nodes(folder: Path = Path("/dev")) -> tuple[str, ...]:
    """Nodes of NVIDIA's driver here."""
    return tuple(str(path) for pattern in _NODES for path in sorted(folder.glob(pattern)))


def lacking(level: Level, held: Sequence[str]) -> list[str]:
    """What a level needs and did not take hold."""
    return sorted(NEEDED[level] - {*held})


@cache
def packages() -> tuple[str, ...]:
    """Where this process imports from: the environment's folders, and warpsmith's own where they lie elsewhere."""
    imports = (path for path in sys.path if path and Path(path).exists() and Path(path) != Path.cwd())
    places = [sys.prefix, f"{sys.base_prefix}/bin", *imports]
    for name in ("", ".sandbox", ".profiler", ".tasks"):
        spec = importlib.util.find_spec(f"warpsmith{name}")
        places += (spec.submodule_search_locations or ()) if spec else ()
    return tuple(dict.fromkeys(path for place in places for path in (place, os.path.realpath(place))))
