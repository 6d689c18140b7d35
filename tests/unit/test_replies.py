"""Every way in which a reply fails to be a kernel file has its own answer; every way to send one is read."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpsmith.agents.llm.model import LARGEST_REPLY
from warpsmith.agents.prompts.render import FOLDER
from warpsmith.agents.replies import Draft, MalformedReplyError, code_blocks, read_edits, read_reply
from warpsmith.core.calls import Finish

from .toy import TASK

KERNEL = (FOLDER / "example.cu").read_text()
TRITON = (FOLDER / "example.py.txt").read_text()


def read(reply: str, finish: Finish = Finish.COMPLETE, language: str = "cuda", parent: str = "") -> Draft:
    return read_reply(reply, finish, task=TASK, language=language, parent=parent)


def edit(search: str, replacement: str) -> str:
    return f"<<<<<<< SEARCH\n{search}\n=======\n{replacement}\n>>>>>>> REPLACE\n"


def test_a_whole_file_and_its_idea_are_read() -> None:
    draft = read(f"Some thoughts.\n\n**IDEA:** split the rows\n\n```cuda\n{KERNEL}```\nThat is all.")
    assert (KERNEL, "split the rows", None) == (draft.text, draft.idea, draft.flaw)
    assert draft.kernel is not None


def test_of_several_files_the_last_counts() -> None:
    other = KERNEL.replace("[128, 256]", "[256]")
    assert other == read(f"```cpp\n{KERNEL}```\nor better\n~~~~\n{other}~~~~\n").text


def test_edits_are_made_to_the_parent() -> None:
    reply = "IDEA: wider\n```edit\n" + edit("// THREADS = [128, 256]", "// THREADS = [256, 128]") + "```"
    assert KERNEL.replace("[128, 256]", "[256, 128]") == read(reply, parent=KERNEL).text


def test_an_edit_may_be_a_part_of_a_line_and_may_delete() -> None:
    assert KERNEL.replace("[4, 1, 8]", "[2]") == read(edit("[4, 1, 8]", "[2]"), parent=KERNEL).text
    assert "add_parts(const" in KERNEL
    assert "if (m >= M) return;" not in read(edit("    if (m >= M) return;", ""), parent=KERNEL).text


@pytest.mark.parametrize(
    ("reply", "finish", "answer"),
    [
        ("", Finish.COMPLETE, "empty"),
        ("I would tile it.", Finish.COMPLETE, "holds no code"),
        ("```cuda\n__global__ void k() {}\n```", Finish.COMPLETE, "no head block"),
        (f"```cuda\n{KERNEL}", Finish.CUT, "ended inside the code"),
        (f"```cuda\n{KERNEL}", Finish.COMPLETE, "ended inside the code"),
        ("I cannot help.", Finish.REFUSED, "declined"),
        ("x", Finish.TOO_LONG, "longer than is read"),
        (f"```cuda\n{KERNEL}\ufffd\n```", Finish.COMPLETE, "not UTF-8"),
        (f"```cuda\n{KERNEL}{'// x' * 70_000}\n```", Finish.COMPLETE, "larger than 256 KiB"),
        (edit("no such line", "x"), Finish.COMPLETE, "does not stand in the kernel"),
        (edit("float sum = 0.f;", "x"), Finish.COMPLETE, "stands 2 times"),
        (edit("", "x"), Finish.COMPLETE, "beginning `nothing`"),
        ("<<<<<<< SEARCH\nx\n>>>>>>> REPLACE\n", Finish.COMPLETE, "cannot be read"),
        (edit("[4, 1, 8]", "[2]"), Finish.CUT, "was cut"),
    ],
)
def test_a_reply_without_a_kernel_is_answered_precisely(reply: str, finish: Finish, answer: str) -> None:
    with pytest.raises(MalformedReplyError, match=answer):
        read(reply, finish, parent=KERNEL)


def test_edits_without_a_parent_are_answered() -> None:
    with pytest.raises(MalformedReplyError, match="no kernel to edit"):
        read(edit("a", "b"))


@pytest.mark.parametrize(
    ("text", "language", "flaw"),
    [
        (TRITON, "cuda", "The kernel file is triton"),
        (KERNEL, "triton", "The kernel file is cuda"),
        (KERNEL.replace('"row_sums"', '"other"'), "cuda", "other"),
        (KERNEL.replace("const x_t* __restrict__ x", "const x_t* __restrict__ z"), "cuda", "z"),
        (KERNEL.replace("block = 256", "block = 256 // 2.5"), "cuda", "kernel file:"),
    ],
)
def test_a_file_with_a_flaw_is_kept_with_it(text: str, language: str, flaw: str) -> None:
    draft = read(f"```\n{text}```", language=language)
    assert draft.text == text
    assert flaw in str(draft.flaw)


@pytest.mark.parametrize(
    "hostile",
    ["`" * LARGEST_REPLY, "<<<<<<< SEARCH\n" * 30_000, "```\n~~~\n" * 60_000, "\n" * LARGEST_REPLY, "IDEA" * 100_000],
)
def test_a_hostile_reply_is_read_in_no_time(hostile: str) -> None:
    start = time.perf_counter()
    with pytest.raises(MalformedReplyError):
        read(hostile, parent=KERNEL)
    assert time.perf_counter() - start < 2


@given(st.text())
def test_any_text_is_either_a_draft_or_an_answer(reply: str) -> None:
    with suppress(MalformedReplyError):
        assert read(reply, parent=KERNEL).text


LINES = st.text(alphabet="ab \n=<>`").filter(lambda text: "=====" not in text)


@given(st.lists(LINES, max_size=4))
def test_edits_come_out_as_they_went_in(texts: list[str]) -> None:
    pairs = [(f"{text}\n", f"{text}x\n") for text in texts]
    reply = "".join(edit(search[:-1], replacement[:-1]) for search, replacement in pairs)
    assert (pairs, False) == read_edits(reply)


def test_a_fence_closes_only_with_its_own_length() -> None:
    assert (["a\n```\nb\n"], False) == code_blocks("````cuda\na\n```\nb\n````")
