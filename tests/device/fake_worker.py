"""A worker with the fake driver: `fake_worker.py PAIRS DEVICES [no-vmm] [small-l2]`, run by path."""

import sys
from pathlib import Path

from warpsmith.sandbox.device.worker import main

sys.path.insert(0, str(Path(__file__).parents[1]))

from device.fake_driver import FakeDriver, device_info

if __name__ == "__main__":
    pairs, count = Path(sys.argv[1]), int(sys.argv[2])
    changes = {"virtual_memory": "no-vmm" not in sys.argv}
    if "small-l2" in sys.argv:
        changes["l2_bytes"] = 1 << 20
    main(lambda: FakeDriver(pairs, tuple(device_info(ordinal, **changes) for ordinal in range(count))))
