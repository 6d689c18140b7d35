"""Feeds damaged texts to parsers, plan, lowering and VM, and random programs to both executors: `make fuzz`.

    python -m tests.fuzzing [TARGET ...] [--cases 1000] [--seed 0] [--minutes M] [--case I]

Cases run in child processes, so that a crash or a hang is a finding too. A finding prints how to run its case alone and
keeps its text under `build/fuzz`. Prints one JSON object: how the cases of each target were answered. Exit code 1 where
anything was found.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from .targets import ROOT, TARGETS

BATCH = 2000
"""Cases a child runs before the next one starts."""
SECONDS = 20.0
"""A case that takes longer hangs."""
MEMORY = 16 << 30
"""Bytes of address space a child may have: a case that asks for more than it may is a finding."""
KEPT = ROOT / "build" / "fuzz"


def text_of(target: str, seed: int, case: int) -> str:
    return TARGETS[target].case(random.Random(f"{target} {seed} {case}"))


def child(target: str, seed: int, first: int, count: int, report: Path) -> None:
    """Run cases; the report's last line names the one that is running."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with report.open("w", buffering=1, encoding="utf-8") as out:
        for case in range(first, first + count):
            text = text_of(target, seed, case)
            out.write(f"{case}\n")
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            answer = TARGETS[target].answer(text)
            faulthandler.cancel_dump_traceback_later()
            out.write(f" {answer}\n")


def batch(target: str, seed: int, first: int, count: int) -> tuple[Counter[str], str, int]:
    """Answers of the cases that ended, what the child said where it died, and the case it died at."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        command = [sys.executable, "-m", "tests.fuzzing", target, "--seed", str(seed), "--report", str(report)]
        command += ["--case", str(first), "--cases", str(count)]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
    answers = Counter(line.strip() for line in lines if line.startswith(" "))
    if not ran.returncode:
        return answers, "", first + count
    at = int(lines[-1]) if lines and not lines[-1].startswith(" ") else first
    return answers, f"{ran.stderr.strip()[-3000:]}\n(exit status {ran.returncode})", at


def fuzz(target: str, seed: int, cases: int, until: float) -> tuple[Counter[str], int]:
    """Answers, and the number of findings."""
    answers, findings, at = Counter[str](), 0, 0
    while at < cases and time.monotonic() < until:
        some, said, stopped = batch(target, seed, at, min(BATCH, cases - at))
        answers += some
        at = stopped
        if said:
            findings += 1
            KEPT.mkdir(parents=True, exist_ok=True)
            kept = KEPT / f"{target}-{seed}-{at}.txt"
            kept.write_text(text_of(target, seed, at), encoding="utf-8", errors="surrogatepass")
            again = f"python -m tests.fuzzing {target} --seed {seed} --case {at}"
            sys.stderr.write(f"{said}\n[fuzz] text: {kept}\n[fuzz] again: {again}\n")
            at += 1
    return answers, findings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--cases", type=int, help="of each target (default 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1e6, help="stop starting batches after so long")
    parser.add_argument("--case", type=int, help="run this case alone, in this process")
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.report:
        child(asked.targets[0], asked.seed, asked.case, asked.cases, asked.report)
        return 0
    if asked.case is not None:
        text = text_of(asked.targets[0], asked.seed, asked.case)
        sys.stdout.write(f"{text}\n{TARGETS[asked.targets[0]].answer(text)}\n")
        return 0
    begin, found, cases = time.monotonic(), 0, 1000 if asked.cases is None else asked.cases
    summary: dict[str, dict[str, int]] = {}
    for target in asked.targets or TARGETS:
        answers, findings = fuzz(target, asked.seed, cases, begin + 60 * asked.minutes)
        summary[target] = dict(sorted(answers.items())) | {"findings": findings}
        found += findings
    seconds = round(time.monotonic() - begin, 1)
    sys.stdout.write(json.dumps({"seed": asked.seed, "seconds": seconds, "answers": summary}, indent=2) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
