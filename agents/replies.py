"""Reads a Coder's reply: a kernel file, or edits of one. What cannot be read is answered in one precise sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass

from warpsmith.core.calls import Finish
from warpsmith.core.errors import KernelFileError, TaskError
from warpsmith.core.kernel_file import LARGEST_TEXT, KernelFile, check, parse_kernel_file
from warpsmith.core.task import Task

_FENCE = re.compile(r"(`{3,}|~{3,})")
_HEAD = re.compile(r"^[ \t]*(?://|#) /// kernel[ \t]*$", re.M)
LONGEST_IDEA = 160


class MalformedReplyError(Exception):
    """A reply that holds no kernel file; the message goes back to the model."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a reply proposes."""

    text: str
    idea: str
    flaw: KernelFileError | None = None
    """Why it is no kernel file for the task, where it looks like one."""
    kernel: KernelFile | None = None


def read_reply(reply: str, finish: Finish, *, task: Task, language: str, parent: str = "") -> Draft:
    """The kernel file a reply holds, whole or as edits of `parent`.

    Raises:
        MalformedReplyError: there is none; the message says what to send instead.
    """
    if finish is Finish.REFUSED:
        raise MalformedReplyError("You declined. The task is a numerical kernel; please send its kernel file.")
    if finish is Finish.TOO_LONG:
        raise MalformedReplyError("Your reply is longer than is read. Send one kernel file and nothing else.")
    reply = reply.replace("\r\n", "\n")
    if not reply.strip():
        raise MalformedReplyError("Your reply is empty. Send the kernel file in one fenced block.")
    text = _text(reply, finish, language, parent)
    if "\N{REPLACEMENT CHARACTER}" in text:
        raise MalformedReplyError("The kernel file holds bytes that are not UTF-8. Send it again in ASCII.")
    if len(text.encode()) > LARGEST_TEXT:
        raise MalformedReplyError(f"The kernel file is larger than {LARGEST_TEXT // 1024} KiB. Send a smaller one.")
    idea = _idea(reply)
    try:
        kernel = parse_kernel_file(text)
        _check_language(kernel, language)
        check(kernel, task)
    except KernelFileError as error:
        return Draft(text, idea, flaw=error)
    except TaskError as error:
        return Draft(text, idea, flaw=KernelFileError(error.message, remedy=error.remedy))
    return Draft(text, idea, kernel=kernel)


def _idea(reply: str) -> str:
    """What follows `IDEA:` on its line."""
    for line in reply.splitlines():
        mark, colon, idea = line.strip().lstrip("*#_ ").partition(":")
        if colon and mark.strip("*_ ").upper() == "IDEA" and idea.strip("*_ "):
            return " ".join(idea.strip("*_ ").split())[:LONGEST_IDEA]
    return "no idea given"


def _text(reply: str, finish: Finish, language: str, parent: str) -> str:
    blocks, unclosed = code_blocks(reply)
    whole = [block for block in blocks if _HEAD.search(block)]
    if whole:
        return whole[-1]
    edits, broken = read_edits(reply)
    if edits and finish is Finish.CUT:
        raise MalformedReplyError("Your reply was cut at its length limit. Send fewer or shorter edits.")
    if broken:
        raise MalformedReplyError(
            "Your edits cannot be read. Each is `<<<<<<< SEARCH`, lines, `=======`, lines, `>>>>>>> REPLACE`."
        )
    if edits:
        return _edited(parent, edits)
    kind, mark = ("cuda", "//") if language == "cuda" else ("python", "#")
    if finish is Finish.CUT or unclosed:
        message = "Your reply ended inside the code, at its length limit. Send the whole file again, shorter, or edits."
    elif blocks:
        message = (
            f"Your code has no head block. The file begins with `{mark} /// kernel` and its launches; send it whole."
        )
    else:
        message = f"Your reply holds no code. Send the whole kernel file in one ```{kind} block."
    raise MalformedReplyError(message)


def code_blocks(reply: str) -> tuple[list[str], bool]:
    """Texts of the fenced blocks in order, and whether the last one was never closed. Reads each line once."""
    blocks: list[str] = []
    fence, lines = "", list[str]()
    for line in reply.split("\n"):
        opening = _FENCE.match(line)
        if fence and line.rstrip() == fence:
            blocks.append("\n".join(lines) + "\n")
            fence = ""
        elif fence:
            lines.append(line)
        elif opening:
            fence, lines = opening[1], []
    return blocks, bool(fence)


def read_edits(reply: str) -> tuple[list[tuple[str, str]], bool]:
    """(search, replacement) of each edit in order, and whether one of them is out of form. Reads each line once."""
    edits: list[tuple[str, str]] = []
    part, search, replacement = "", list[str](), list[str]()
    for line in reply.split("\n"):
        mark = line.rstrip()
        if mark.endswith(" SEARCH") and set(mark[:-7]) == {"<"}:
            if part:
                return edits, True
            part, search, replacement = "search", [], []
        elif part == "search" and len(mark) >= 5 and set(mark) == {"="}:
            part = "replace"
        elif part == "replace" and mark.endswith(" REPLACE") and set(mark[:-8]) == {">"}:
            edits.append(("".join(f"{it}\n" for it in search), "".join(f"{it}\n" for it in replacement)))
            part = ""
        elif part:
            (search if part == "search" else replacement).append(line)
    return edits, bool(part)


def _edited(parent: str, edits: list[tuple[str, str]]) -> str:
    """The parent's text with every edit made.

    Raises:
        MalformedReplyError: there is no parent, or a search text stands in it other than once.
    """
    if not parent:
        raise MalformedReplyError("There is no kernel to edit yet. Send a whole kernel file.")
    text = parent
    for number, (search, replacement) in enumerate(edits, 1):
        if search not in text:  # part of a line
            search, replacement = search.removesuffix("\n"), replacement.removesuffix("\n")
        count = text.count(search) if search.strip() else 0
        if count != 1:
            first = next((line.strip() for line in search.splitlines() if line.strip()), "nothing")
            where = f"stands {count} times in the kernel" if count else "does not stand in the kernel"
            what = f"The search text of edit {number}, beginning `{first[:80]}`,"
            raise MalformedReplyError(f"{what} {where}; it must stand there exactly once.")
        text = text.replace(search, replacement)
    return text


def _check_language(kernel: KernelFile, language: str) -> None:
    if kernel.language != language:
        wanted = "CUDA C++ with `//` comments" if language == "cuda" else "Triton with `#` comments"
        raise KernelFileError(f"The kernel file is {kernel.language}.", remedy=f"Write {wanted}.", line=1)
