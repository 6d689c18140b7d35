"""A folder as a model: prompts out whole, replies in whole, stale ones aside, and a way to stop."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from warpsmith.agents.llm.handoff import ABORT, Handoff, HandoffAbortedError
from warpsmith.agents.llm.model import Reply, Request, Turn
from warpsmith.core.calls import Finish
from warpsmith.core.errors import ModelError

ASKED = Request("001-coder-new-1", "You write kernels.", (Turn("user", "Write one."),))


def ask(folder: Path, request: Request = ASKED, limit: float = 20.0) -> Reply:
    return asyncio.run(Handoff(folder, run="r", time_limit=limit).complete(request))


def later(seconds: float, *writes: tuple[Path, str | bytes]) -> None:
    def write() -> None:
        for path, text in writes:
            time.sleep(seconds)
            path.write_bytes(text.encode() if isinstance(text, str) else text)

    threading.Thread(target=write, daemon=True).start()


def test_a_prompt_is_written_and_the_reply_beside_it_is_read(tmp_path: Path) -> None:
    later(
        0.3,
        (tmp_path / "r" / "001-coder-new-1.reply.md", "half"),
        (tmp_path / "r" / "001-coder-new-1.reply.md", "whole"),
    )
    reply = ask(tmp_path)
    assert ("whole", Finish.COMPLETE, None, True) == (reply.text, reply.finish, reply.dollars, reply.usage.estimated)
    assert reply.waited > 0.5
    assert 0 == reply.seconds
    prompt = (tmp_path / "r" / "001-coder-new-1.prompt.md").read_text()
    assert "You write kernels." in prompt
    assert "into `001-coder-new-1.reply.md` beside this file" in prompt


def test_a_reply_from_before_an_interruption_is_taken_at_once(tmp_path: Path) -> None:
    later(0.1, (tmp_path / "r" / "001-coder-new-1.reply.md", "mine"))
    ask(tmp_path)
    start = time.monotonic()
    assert "mine" == ask(tmp_path).text
    assert time.monotonic() - start < 4


def test_a_reply_to_another_question_is_put_aside(tmp_path: Path) -> None:
    reply = tmp_path / "r" / "001-coder-new-1.reply.md"
    reply.parent.mkdir()
    reply.write_text("stale")
    later(0.3, (reply, "fresh"))
    assert "fresh" == ask(tmp_path).text
    assert "stale" == (tmp_path / "r" / "001-coder-new-1.reply.stale.md").read_text()


def test_a_schema_is_part_of_the_prompt(tmp_path: Path) -> None:
    later(0.1, (tmp_path / "r" / "x.reply.md", "{}"))
    ask(tmp_path, Request("x", "s", (Turn("user", "q"),), schema={"type": "object"}))
    assert '"type": "object"' in (tmp_path / "r" / "x.prompt.md").read_text()


def test_bytes_that_are_no_text_do_not_break_it(tmp_path: Path) -> None:
    later(0.1, (tmp_path / "r" / "001-coder-new-1.reply.md", b"a\xffb"))
    assert "a\ufffdb" == ask(tmp_path).text


def test_nobody_answering_ends_with_where_to_write(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nobody wrote .*001-coder-new-1\.reply\.md"):
        ask(tmp_path, limit=0.1)


@pytest.mark.parametrize("place", ["r", "."])
def test_a_file_stops_the_wait(tmp_path: Path, place: str) -> None:
    (tmp_path / "r").mkdir()
    later(0.2, (tmp_path / place / ABORT, ""))
    with pytest.raises(HandoffAbortedError, match=ABORT):
        ask(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot be made"):
        asyncio.run(Handoff(tmp_path / "file").check())
