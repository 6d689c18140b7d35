"""A worker with the fake driver: `fake_worker.py PAIRS DEVICES [no-vmm] [small-l2] [faulty] [old]`, run by path."""

import sys
from pathlib import Path

from warpsmith.sandbox.device.driver import DriverFailure
from warpsmith.sandbox.device.worker import main

sys.path.insert(0, str(Path(__file__).parents[1]))

from device.fake_driver import FakeDriver, device_info


def make() -> FakeDriver:
    pairs, count, options = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if count == 0:
        raise DriverFailure("cuInit", "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected")
    changes = {"virtual_memory": "no-vmm" not in options}
    if "small-l2" in options:
        changes["l2_bytes"] = 1 << 20
    devices = tuple(device_info(ordinal, **changes) for ordinal in range(count))
    return FakeDriver(pairs, devices, faulty="faulty" in options, cuda_version=12040 if "old" in options else 13000)


if __name__ == "__main__":
    main(make)
