"""Which GPUs can be used here, why none can, and where a job runs: on one of them or on the emulator."""

from __future__ import annotations

import ctypes
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from warpsmith.core.arch import ARCHITECTURES, Architecture, find_architecture, recognise, unrecognised
from warpsmith.core.errors import DeviceError, SettingsError
from warpsmith.settings import Settings

if TYPE_CHECKING:
    from warpsmith.sandbox.device.messages import DeviceInfo, Refused, Surveyed
    from warpsmith.sandbox.device.pool import Pool
    from warpsmith.sandbox.device.process import WorkerCommand

DEFAULT_ARCHITECTURE = "h200"
"""The target where nobody names one and no GPU does."""
OLDEST_DRIVER = 13000
"""CUDA version a driver must support: machine code of a 13.0 compiler needs a driver of that series (R580)."""
EMULATE = "Use --device emulator: verdicts and modelled times need no GPU."


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why no GPU can be used."""

    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Target:
    """Where a job runs and what it is judged for."""

    arch: Architecture
    pool: Pool | None = None
    """GPUs of this architecture; None: the emulator."""
    remark: str = ""
    """Why a GPU that is there is not used."""

    @property
    def device(self) -> str:
        """`gpu` or `emulator`."""
        return "gpu" if self.pool is not None else "emulator"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the workers."""
        if self.pool is not None:
            self.pool.close()


_TROUBLES = {
    "LIBCUDA_NOT_FOUND": Trouble(
        "No NVIDIA driver is installed: libcuda.so.1 is not found.",
        "Install the NVIDIA driver; a container needs --gpus all and the NVIDIA Container Toolkit.",
    ),
    "CUDA_BINDINGS_NOT_FOUND": Trouble(
        "The Python package cuda-bindings is not installed.", "pip install 'cuda-bindings>=13.0,<13.1'"
    ),
    "CUDA_ERROR_NO_DEVICE": Trouble(
        "The NVIDIA driver shows no GPU.",
        "Look at nvidia-smi, at CUDA_VISIBLE_DEVICES, and whether you may read and write /dev/nvidia*.",
    ),
    "CUDA_ERROR_STUB_LIBRARY": Trouble(
        "The libcuda.so.1 that is found is the toolkit's stub, not a driver.",
        "Take the toolkit's stubs folder out of LD_LIBRARY_PATH.",
    ),
    "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH": Trouble(
        "The NVIDIA driver's library and kernel module are of different versions.",
        "Reboot, or reload the kernel module; in a container, use the host's driver.",
    ),
    "CUDA_ERROR_SYSTEM_NOT_READY": Trouble(
        "The NVIDIA driver is not ready (CUDA_ERROR_SYSTEM_NOT_READY).", "Start nvidia-fabricmanager, then try again."
    ),
    "CUDA_ERROR_OPERATING_SYSTEM": Trouble(
        "The operating system refused the NVIDIA driver a call.",
        "See whether you may read and write /dev/nvidia*, and whether its kernel module is loaded.",
    ),
}


def find_gpus(settings: Settings) -> tuple[DeviceInfo, ...] | Trouble:
    """The devices of the driver, or why there are none. Starts a process where there is a driver.

    Raises:
        DeviceError: the driver hangs, or kills the process that asks it.
    """
    from warpsmith.sandbox.device.messages import Refused

    if not settings.gpu_worker and not _driver_is_there():
        return _TROUBLES["LIBCUDA_NOT_FOUND"]
    found = _surveyed(worker_command(settings))
    if isinstance(found, Refused):
        words = Trouble(f"The NVIDIA driver fails: {found.message}.", "Look at nvidia-smi.")
        return _TROUBLES.get(found.result, words)
    if not found.devices:
        return _TROUBLES["CUDA_ERROR_NO_DEVICE"]
    if found.version < OLDEST_DRIVER:
        return Trouble(
            f"The NVIDIA driver supports CUDA {_version(found.version)}; kernels are compiled by CUDA 13.0.",
            "Install a driver of the R580 series or later.",
        )
    return found.devices


def _surveyed(command: WorkerCommand) -> Surveyed | Refused:
    """What the driver shows at the best level of the jail at which it shows anything."""
    from warpsmith.sandbox.device.messages import Surveyed
    from warpsmith.sandbox.device.pool import survey, weaker_than

    weaker = weaker_than(command)
    try:
        found = survey(command)
    except DeviceError:
        if weaker is None:
            raise
    else:
        if weaker is None or isinstance(found, Surveyed):
            return found
    # Perhaps it is the jail that keeps the driver from its devices.
    return _surveyed(weaker)


def worker_command(settings: Settings) -> WorkerCommand:
    """How GPU workers are started: jailed as well as this machine can, unless they are a command of the user's own."""
    from warpsmith.sandbox.device.confined import Confinement, device_nodes
    from warpsmith.sandbox.device.process import PROGRAM, WorkerCommand
    from warpsmith.sandbox.jail.levels import choose

    if settings.gpu_worker:
        return WorkerCommand(settings.gpu_worker, settings.worker_environment)
    return WorkerCommand(PROGRAM, settings.worker_environment, Confinement(choose(), devices=device_nodes()))


def architecture_of(device: DeviceInfo) -> Architecture | None:
    """The row of the architecture table that a GPU is; None where there is none, a MIG instance for one."""
    return None if _is_instance(device) else recognise(device.name, device.capability, device.sms)


def _is_instance(device: DeviceInfo) -> bool:
    """Whether it is a MIG instance, which may bear its GPU's own name."""
    return device.uuid.startswith("MIG-")


def why_unknown(device: DeviceInfo) -> str:
    """Why a GPU is no row of the table."""
    name = f"{device.name} MIG" if _is_instance(device) and "MIG" not in device.name else device.name
    return unrecognised(name, device.capability, device.sms)


def choose_target(device: str, arch: str | None, settings: Settings) -> Target:
    """Where a job runs.

    Args:
        device: `auto` takes a GPU of the wanted architecture where there is one; `cuda` insists; `emulator` never asks.
        arch: The target; None: that of the GPU, or an H200.
        settings: How workers are started.

    Raises:
        DeviceError: `cuda` is asked for and no GPU can be used; says what is missing.
        SettingsError: there is no such target.
    """
    wanted = find_architecture(arch) if arch else None
    emulated = wanted or find_architecture(DEFAULT_ARCHITECTURE)
    if device == "emulator":
        return Target(emulated)
    if device not in ("auto", "cuda"):
        raise SettingsError(f"there is no device {device!r}.", remedy="Choose one of: auto, cuda, emulator.")
    found = find_gpus(settings)
    if isinstance(found, Trouble):
        if device == "cuda":
            raise DeviceError(found.message, remedy=f"{found.remedy} {EMULATE}")
        return Target(emulated)
    return _fitting(found, wanted, settings) or _without(found, emulated, wanted, insist=device == "cuda")


def _fitting(found: tuple[DeviceInfo, ...], wanted: Architecture | None, settings: Settings) -> Target | None:
    """All GPUs of one architecture: the wanted one, else that of the first GPU that has one."""
    from warpsmith.sandbox.device.pool import Pool

    known = [(device, arch) for device in found if (arch := architecture_of(device)) is not None]
    arch = wanted or (known[0][1] if known else None)
    devices = tuple(device for device, its in known if its is arch)
    return Target(arch, Pool(devices, worker_command(settings))) if arch and devices else None


def _without(
    found: tuple[DeviceInfo, ...], emulated: Architecture, wanted: Architecture | None, *, insist: bool
) -> Target:
    names = "; ".join(
        f"{device.name} ({device.sms} SMs)" if architecture_of(device) else why_unknown(device) for device in found
    )
    what = f"an {wanted.name}" if wanted else f"one of {', '.join(ARCHITECTURES)}"
    message = f"The GPUs here are no match for {what}: {names}."
    if insist:
        raise DeviceError(message, remedy=f"Choose --arch to fit. {EMULATE}")
    remark = f"{message} Kernels run on the emulator."
    # It goes with every verdict, too; but a run is long, and somebody who has a GPU expects it to be used.
    logging.getLogger("warpsmith").warning(remark)
    return Target(emulated, remark=remark)


def _driver_is_there() -> bool:
    """Whether the driver's library loads; that starts nothing."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
