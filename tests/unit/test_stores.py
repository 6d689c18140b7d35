"""Which of its arguments a kernel may read, and which it may write."""

from __future__ import annotations

import pytest

from warpsmith.sandbox.analysis.stores import read_parameters, written_parameters
from warpsmith.sandbox.emulator.ptx.module import parse_module

HEAD = ".version 8.0\n.target sm_90\n.address_size 64\n.visible .entry k(.param .u64 k_0, .param .u64 k_1) {\n"
START = """.reg .b64 %rd<5>; .reg .b32 %r<4>; .reg .f32 %f<3>;
ld.param.u64 %rd1, [k_0]; ld.param.u64 %rd2, [k_1];
"""


@pytest.mark.parametrize(
    ("body", "read", "written"),
    [
        ("ld.global.f32 %f1, [%rd1]; st.global.f32 [%rd2], %f1;", {0}, {1}),
        ("ld.global.f32 %f1, [%rd1]; st.global.f32 [%rd1], %f1;", {0}, {0}),
        ("add.s64 %rd3, %rd1, 4; ld.f32 %f1, [%rd3];", {0}, set()),
        ("atom.global.add.u32 %r1, [%rd2], 1;", {1}, {1}),
        ("cp.async.ca.shared.global [%r1], [%rd1], 16; cp.async.commit_group; cp.async.wait_group 0;", {0}, set()),
        ("ld.shared.f32 %f1, [%r1]; st.shared.f32 [%r1], %f1;", set(), set()),
    ],
)
def test_addresses_tell_what_is_read_and_what_is_written(body: str, read: set[int], written: set[int]) -> None:
    entry = parse_module(f"{HEAD}{START}{body}\nret;\n}}\n").entry("k")
    assert read == {*read_parameters(entry)}
    assert written == {*written_parameters(entry)}
