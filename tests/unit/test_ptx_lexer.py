"""PTX text in tokens: the quick way through a text and the one that knows places agree."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warpsmith.sandbox.emulator.ptx import PtxSyntaxError, parsed_module
from warpsmith.sandbox.emulator.ptx.lexer import Cursor

PIECES = (
    *(
        "ld.global.L2::128B.u32",
        "%r1",
        "%tid.x",
        "$L__BB0_1",
        ":",
        "{",
        "}",
        "[",
        "]",
        ",",
        ";",
        "@",
        "!",
        "|",
        "<<",
        ">",
    ),
    *(
        ".reg",
        ".b32",
        ".shared::cta",
        "12",
        "0f3F800000",
        "0d3FF0000000000000",
        "1.5",
        "1e5",
        "2.5e-3",
        "0x1FU",
        "0b101",
    ),
    *('"a // b"', '"/* c"', '""', "// to the end\n", "/* over\nlines */", "/", "*", "-", "+", "%", "_", "a.b::c"),
    *(" ", "\t", "\n", "\r\n", "\f"),
)
ODD = ("12ab", "0f12", "0x", "a..b", "a.", "a::", ".5", ".", '"', "\\", "#", "\u00a0", "\u0663", "/*", "1e+", "::", "'")


def tokens(text: str) -> list[tuple[str, str, int]] | tuple[str, int]:
    """Kind, word and line of each token; where a text has other things, what is said of them, and of which line."""
    try:
        cursor = Cursor(text)
    except PtxSyntaxError as error:
        return error.message, error.ptx_line
    words = zip(cursor.kinds, cursor.words, strict=True)
    return [(kind, word, cursor.line_of(at)) for at, (kind, word) in enumerate(words)]


def slowly(text: str) -> list[tuple[str, str, int]] | tuple[str, int]:
    """The same by way of a comment in braces of its own, which nothing but the exact way takes."""
    return tokens("/**/" + text)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_both_ways_find_the_same_tokens_on_the_same_lines(text: str) -> None:
    assert tokens(text) == slowly(text)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from((*PIECES, *ODD)), max_size=12).map("".join))
def test_both_ways_refuse_the_same_texts_at_the_same_places(text: str) -> None:
    assert tokens(text) == slowly(text)


def test_a_text_is_parsed_once_and_its_errors_are_told_every_time() -> None:
    text = ".version 9.0\n.target sm_90a\n.address_size 64\n.visible .entry k() { ret; }"
    assert parsed_module(text) is parsed_module(text)
    for _ in range(2):
        with pytest.raises(PtxSyntaxError, match="unexpected"):
            parsed_module(text + "#")
