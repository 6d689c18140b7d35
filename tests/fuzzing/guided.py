"""Fuzzing led by coverage: atheris (libFuzzer) changes texts so that they reach code no text has reached yet.

    python -m tests.fuzzing.guided TARGET [--cases 100000] [--seed 1]

Begins with damaged texts of the target's own. Needs atheris, whose wheels are for Linux; `make fuzz-guided` gets it.
What crashes, hangs or raises is kept under `build/fuzz`, and so are the texts that reached something new.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["warpsmith.core", "warpsmith.sandbox"]):
    from .targets import ROOT, TARGETS

GUIDED = {"kernel-file": "utf-8", "expression": "utf-8", "ptx": "utf-8", "wire": "latin-1"}
"""Targets whose cases are texts from anywhere, and how bytes become one; the others make programs of their own."""
BEGIN_WITH = 200
SECONDS = 20
LONGEST = 1 << 16
KEPT = ROOT / "build" / "fuzz"


def corpus(target: str, seed: int) -> Path:
    """A folder of texts to begin with."""
    folder = KEPT / f"corpus-{target}"
    folder.mkdir(parents=True, exist_ok=True)
    for case in range(BEGIN_WITH):
        text = TARGETS[target].case(random.Random(f"{target} {seed} {case}"))
        (folder / f"{seed}-{case}").write_text(text, encoding=GUIDED[target], errors="replace")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("target", choices=GUIDED)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    encoding = GUIDED[asked.target]

    def answer(data: bytes) -> None:
        TARGETS[asked.target].answer(data.decode(encoding, "surrogateescape"))

    limits = [f"-runs={asked.cases}", f"-seed={asked.seed}", f"-timeout={SECONDS}", f"-max_len={LONGEST}"]
    folder = corpus(asked.target, asked.seed)
    places = [f"-artifact_prefix={KEPT}/{asked.target}-", str(folder)]
    atheris.Setup([sys.argv[0], *limits, *places], answer)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
