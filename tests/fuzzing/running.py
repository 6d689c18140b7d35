"""Runs a random program on the readable executor and on every build of the VM, and makes a disagreement small."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from warpsmith.sandbox.emulator import launch as vm
from warpsmith.sandbox.emulator.isa import execute
from warpsmith.sandbox.emulator.machine import LaunchResult, LaunchSpec, Memory, Options, UnsupportedInstruction
from warpsmith.sandbox.emulator.ptx import parse_module
from warpsmith.sandbox.emulator.vm.bindings import isa_names

from .places import small_bytes, source_bytes
from .programs import Program

BUDGET = 1 << 22
Launch = Callable[..., LaunchResult]


@dataclass(frozen=True)
class Way:
    """One manner to run a program that must not matter."""

    name: str
    launch: Launch
    options: Options
    skew: int = 0


def ways() -> Iterator[Way]:
    """Every build of the VM, schedules, checks and counters off, two host threads, another alignment.

    Seeds are even: by odd ones a shuffle brings another value from lanes that take no part.
    """
    options = Options(budget=BUDGET)
    for isa in isa_names():
        run = partial(vm.launch, isa=isa)
        yield Way(isa, run, options)
        yield Way(f"{isa}, bare", run, replace(options, checks=False, counters=False))
    yield Way("seed 4", vm.launch, replace(options, seed=4))
    yield Way("seed 2, skewed, two threads", vm.launch, replace(options, seed=2, threads=2), skew=16)


def run(program: Program, way: Way) -> tuple[LaunchResult, bytes]:
    rng = random.Random(f"data {program.seed}")
    memory, out = Memory(skew=way.skew), np.zeros(program.out_bytes, np.uint8)
    params = struct.pack(
        "<QQQ",
        memory.allocate("source", source_bytes(rng), writable=False, initialised=True),
        memory.allocate("smalls", small_bytes(rng), writable=False, initialised=True),
        memory.allocate("out", out, writable=True, initialised=True),
    )
    spec = LaunchSpec((program.shape.grid, 1, 1), (program.shape.threads, 1, 1), 0, params)
    return way.launch(parse_module(program.text), "k", spec, memory, way.options), out.tobytes()


def disagreement(program: Program) -> str:
    """What differs between the definition and the VM, or nothing."""
    defined = Way("readable", execute.launch, Options(budget=BUDGET))
    expected, expected_bytes = run(program, defined)
    if expected.fault is not None:
        return f"the readable executor: {expected.fault.message}"
    for way in ways():
        result, got = run(program, way)
        if result.fault is not None:
            return f"{way.name}: {result.fault.message}"
        if got != expected_bytes:
            first = next(i for i, (a, b) in enumerate(zip(expected_bytes, got, strict=True)) if a != b)
            return f"{way.name}: byte {first} of the output is {got[first]}, not {expected_bytes[first]}"
        if not way.options.seed and not np.array_equal(expected.block_threads, result.block_threads):
            return f"{way.name}: other threads entered some basic block"
    return ""


def shrunk(program: Program, fails: Callable[[Program], bool]) -> Program:
    """A program with as much left out as still fails."""
    progress = True
    while progress:
        progress = False
        for body in program.body.smaller():
            candidate = replace(program, body=body)
            if fails(candidate):
                program, progress = candidate, True
                break
    return program


def still_fails(program: Program) -> bool:
    try:
        return bool(disagreement(program))
    except UnsupportedInstruction:
        return False
