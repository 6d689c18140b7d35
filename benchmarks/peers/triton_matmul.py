"""A kernel of a Triton file in Triton's own interpreter: one JSON object with the seconds of its best call.

Run with TRITON_INTERPRET=1; arguments are the file and the size. The kernel is `matmul`, in fp16.
"""

import importlib.util
import json
import sys
import time
from pathlib import Path

import torch

TILE = {"BM": 64, "BN": 64, "BK": 32}
CALLS = 3


def main() -> None:
    path, size = Path(sys.argv[1]), int(sys.argv[2])
    spec = importlib.util.spec_from_file_location("kernel", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, size, generator=generator).half() for _ in range(2))
    c = torch.empty(size, size, dtype=torch.float16)
    seconds = []
    for _ in range(CALLS):
        start = time.perf_counter()
        module.matmul[(size // TILE["BM"], size // TILE["BN"])](a, b, c, size, size, size, **TILE)
        seconds.append(time.perf_counter() - start)
    assert torch.allclose((a.float() @ b.float()), c.float(), atol=0.2)
    print(json.dumps({"seconds": min(seconds)}))


if __name__ == "__main__":
    main()
