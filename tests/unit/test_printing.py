"""printf of a kernel, whose format and arguments are the kernel's."""

from __future__ import annotations

import struct

import pytest

from warpsmith.sandbox.emulator.printing import format_printf


def formatted(form: str, *numbers: int) -> str:
    return format_printf(form, struct.pack(f"{len(numbers)}i", *numbers), lambda address: "text")


@pytest.mark.parametrize(
    ("form", "numbers", "said"),
    [
        ("%5d|%-5d|%05d", (7, 7, 7), "    7|7    |00007"),
        ("%*d", (6, 7), "     7"),
        ("%*d|", (-4, 7), "7   |"),
        ("%.*d", (3, 7), "007"),
        ("%.*d", (-1, 7), "7"),
    ],
)
def test_widths_and_precisions_are_those_of_c(form: str, numbers: tuple[int, ...], said: str) -> None:
    assert said == formatted(form, *numbers)


@pytest.mark.parametrize(
    ("form", "numbers"),
    [
        ("%999999999999999999999999d", (1,)),
        ("%.999999999d", (1,)),
        ("%*d", (2**31 - 1, 1)),
        ("%.*d", (2**31 - 1, 1)),
        (f"%{'9' * 9000}d", (1,)),
    ],
)
def test_a_kernel_cannot_ask_for_a_text_that_fills_memory(form: str, numbers: tuple[int, ...]) -> None:
    assert len(formatted(form, *numbers)) <= 1100
