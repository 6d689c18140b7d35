"""What the loop itself costs: seconds a round beside models, compiler and emulator, folding a long log, prompt sizes.

Run with `python benchmarks/loop.py [--rounds N]`; prints one line a figure and fails where a figure is over its limit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from warpsmith.agents.coder import assigned
from warpsmith.agents.llm.model import Reply, Request, estimate_tokens
from warpsmith.agents.loop import Loop
from warpsmith.agents.model_coder import ModelCoder
from warpsmith.agents.model_judge import ModelJudge
from warpsmith.agents.prompts.render import Writer, coder_system, judge_system
from warpsmith.agents.prompts.views import KernelView, TargetView, TaskView
from warpsmith.agents.protocols import Acceptance
from warpsmith.agents.refine import Refine
from warpsmith.agents.scripted import ScriptedEvaluator
from warpsmith.agents.state import RunState, fold
from warpsmith.core.arch import find_architecture
from warpsmith.core.calls import Finish, Usage
from warpsmith.core.candidate import Candidate
from warpsmith.core.events import RunSettings, RunStarted
from warpsmith.core.kernel_file import parse_kernel_file
from warpsmith.core.outcome import CompileFailed, Stage
from warpsmith.seeds import seeds_for
from warpsmith.store import Store
from warpsmith.tasks import find_tasks, load_task

ROUND_MS, FOLD_SECONDS, OPTIMISE_TOKENS = 20.0, 0.5, 12_000
"""Limits."""


class Instant:
    """Answers at once: round n gets a kernel of its own."""

    name = "instant"

    def __init__(self, text: str) -> None:
        self.text = text

    def price(self, usage: Usage) -> float | None:
        return 0.0

    async def check(self) -> None:
        """Always there."""

    async def complete(self, request: Request) -> Reply:
        text = f"IDEA: try\n```cuda\n{self.text}constexpr int ROUND = {int(request.label.split('-')[0])};\n```"
        if request.schema:
            texts = dict.fromkeys(request.schema["properties"], "x")
            numbers = {"metric": "time", "metric_after": 1.0, "time_ratio": 0.9, "evidence": []}
            text = json.dumps({name: numbers.get(name, text) for name, text in texts.items()})
        await asyncio.sleep(0)
        return Reply(text, Finish.COMPLETE, Usage(input_tokens=1, output_tokens=1), 0.0, 0.0)


def run(rounds: int, store: Store) -> tuple[RunState, float]:
    """A run of instant models on the quantised GEMM; its state, and milliseconds a round."""
    task, target = load_task("w4a16_gemm"), find_architecture("h200")
    views = TaskView(task), TargetView(target)
    model = Instant(seeds_for(task.name)[-1].text)
    settings = RunSettings(
        coder="instant", judge="instant", strategy="refine", rounds=rounds, patience=rounds, library="out"
    )
    started = RunStarted(run="r", task=task.name, task_digest="d", target="h200", device="emulator", settings=settings)

    def script(candidate: Candidate) -> float | CompileFailed:
        number = int(candidate.text.rstrip("; \n").rsplit(" ", 1)[1])
        return CompileFailed(stage=Stage.COMPILE, message="no", line=3) if number % 3 == 0 else 1000.0 / number

    loop = Loop(
        log=store,
        coder=ModelCoder(model, Writer(coder_system(*views, "cuda")), task, "cuda"),
        judge=ModelJudge(model, Writer(judge_system(*views))),
        strategy=Refine(),
        evaluator=ScriptedEvaluator(script),
        accept=lambda attempt: Acceptance(kernel=attempt.identity, path="out"),
    )
    start = time.perf_counter()
    state = loop.start(started)
    return state, 1000 * (time.perf_counter() - start) / len(state.attempts)


def prompt_sizes() -> int:
    """Print estimated tokens of each stage on every shipped task with its largest seed; the largest optimise prompt."""
    target, largest = TargetView(find_architecture("h200")), 0
    failed = CompileFailed(stage=Stage.COMPILE, message="an error " * 20, line=1, details=("a log line " * 20,) * 6)
    for found in find_tasks():
        task, seeds = TaskView(load_task(found.name)), seeds_for(found.name)
        coder = Writer(coder_system(task, target, "cuda"))
        judge = Writer(judge_system(task, target))
        sizes = {"new": coder.new([], []).tokens, "judge's system": estimate_tokens(judge.system)}
        for seed in seeds:
            kernel = parse_kernel_file(seed.text)
            candidate = assigned(kernel, found.name, kernel.default_knobs())
            good, bad = (
                KernelView(candidate, ScriptedEvaluator(lambda _, it=it: it).evaluate(candidate, seed=0))
                for it in (9.0, failed)
            )
            for stage, prompt in {
                "repair": coder.repair(bad, None, [], None),
                "optimise": coder.optimise(good, None, [], None, []),
                "judge": judge.advise(good, [], []),
            }.items():
                sizes[stage] = max(sizes.get(stage, 0), prompt.tokens)
        largest = max(largest, sizes.get("optimise", 0))
        print(f"{found.name}: " + ", ".join(f"{stage} {tokens}" for stage, tokens in sizes.items()) + " tokens")
    return largest


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "store.sqlite") as store:
        _, each = run(rounds, store)
    print(f"a round costs {each:.1f} ms beside models, compiler and emulator, mean of {rounds} (limit {ROUND_MS:.0f})")
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "store.sqlite") as store:
        run(1000, store)
        events = store.events("r")
        start = time.perf_counter()
        fold(events, store.get_text)
        folding = time.perf_counter() - start
    print(f"a log of 1000 rounds, {len(events)} events, folds in {folding:.2f} s (limit {FOLD_SECONDS})")
    largest = prompt_sizes()
    print(f"the largest optimise prompt has {largest} tokens (limit {OPTIMISE_TOKENS})")
    return int(each > ROUND_MS or folding > FOLD_SECONDS or largest > OPTIMISE_TOKENS)


if __name__ == "__main__":
    sys.exit(main())
