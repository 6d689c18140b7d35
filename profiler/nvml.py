"""The state a GPU is in while it is timed: clocks, power, temperature and what holds its clocks down.

Read through NVML. A figure that a GPU, a driver or a virtual machine does not give is None, and stays None in the
record: unknown is not zero.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Protocol

from pydantic import Field

from warpsmith.core.errors import DeviceError
from warpsmith.core.record import Record


class Reason(StrEnum):
    """Why clocks are below their highest; NVML's clock event reasons."""

    IDLE = "gpu_idle"
    APPLICATION_CLOCKS = "applications_clocks_setting"
    POWER_CAP = "sw_power_cap"
    HARDWARE = "hw_slowdown"
    SYNC_BOOST = "sync_boost"
    THERMAL = "sw_thermal_slowdown"
    HARDWARE_THERMAL = "hw_thermal_slowdown"
    POWER_BRAKE = "hw_power_brake_slowdown"
    DISPLAY_CLOCKS = "display_clock_setting"


_BITS = {1 << bit: reason for bit, reason in enumerate(Reason)}
"""nvml.h, `nvmlClocksEventReason…`: one bit each, in this order."""

THROTTLING = frozenset({Reason.HARDWARE, Reason.THERMAL, Reason.HARDWARE_THERMAL, Reason.POWER_BRAKE})
"""Reasons that spoil a sample. The software's power cap is none: matrix kernels run at it by design, and the rule on
clocks (`profiler/comparison.py`) leaves out samples that it slowed more than the others."""


class DeviceState(Record):
    """One reading."""

    sm_mhz: float | None = Field(default=None, ge=0)
    memory_mhz: float | None = Field(default=None, ge=0)
    power_w: float | None = Field(default=None, ge=0)
    temperature_c: float | None = None
    reasons: tuple[Reason, ...] = ()
    unknown_reasons: int = 0
    """Bits that this version has no name for."""
    gives_reasons: bool = True
    """False where NVML does not say what holds clocks down: throttling is then unknown."""

    @property
    def throttled(self) -> bool:
        return bool(THROTTLING & set(self.reasons))


class Sensor(Protocol):
    """Reads the state of the GPU that is being timed."""

    def read(self) -> DeviceState: ...


def reasons_of(bits: int) -> tuple[tuple[Reason, ...], int]:
    """The reasons a mask names, and the bits it has besides."""
    known = tuple(reason for bit, reason in _BITS.items() if bits & bit)
    return known, bits & ~sum(_BITS)


class NvmlSensor:
    """One GPU's sensor; open for the life of the process.

    Args:
        uuid: `GPU-…` as the driver names the device: CUDA and NVML count devices in different orders.

    Raises:
        DeviceError: NVML does not answer, or knows no such GPU.
    """

    def __init__(self, uuid: str) -> None:
        import pynvml

        self._nvml: Any = pynvml
        try:
            pynvml.nvmlInit()
            self._handle: Any = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        except pynvml.NVMLError as error:
            raise DeviceError(
                f"NVML gives no sensor for {uuid}: {error}.", remedy="Times without clocks are no evidence."
            ) from error

    def read(self) -> DeviceState:
        """Clocks, power, temperature and reasons, as far as the GPU gives them; takes some 10 microseconds each."""
        nvml, handle = self._nvml, self._handle
        bits = self._ask(lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
        reasons, unknown = reasons_of(int(bits or 0))
        milliwatts = self._ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        return DeviceState(
            sm_mhz=self._ask(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
            memory_mhz=self._ask(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)),
            power_w=None if milliwatts is None else milliwatts / 1000,
            temperature_c=self._ask(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
            reasons=reasons,
            unknown_reasons=unknown,
            gives_reasons=bits is not None,
        )

    def _ask(self, question: Callable[[], int]) -> float | None:
        """None where this GPU does not say."""
        try:
            return float(question())
        except self._nvml.NVMLError:
            return None


def driver_version() -> str:
    """The driver's version, `580.95.05`; empty where NVML does not say."""
    try:
        import pynvml
    except ImportError:
        return ""
    try:
        pynvml.nvmlInit()
        found = pynvml.nvmlSystemGetDriverVersion()
    except pynvml.NVMLError:
        return ""
    return found.decode() if isinstance(found, bytes) else str(found)
