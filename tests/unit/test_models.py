"""The real clients against a server of this machine: every answer is billed, every break is survived or named."""

from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import AsyncGeneratorType
from typing import Any

import pytest

from warpsmith.agents.llm.access import Access
from warpsmith.agents.llm.anthropic_models import AnthropicMessages
from warpsmith.agents.llm.faults import retry_after
from warpsmith.agents.llm.model import BusyError, Model, Reply, Request, Turn
from warpsmith.agents.llm.openai_models import OpenAIChat, OpenAIResponses
from warpsmith.agents.llm.pricing import dollars
from warpsmith.agents.llm.retry import ATTEMPTS, ExhaustedError, Patient
from warpsmith.core.calls import Finish, Usage
from warpsmith.core.errors import ModelError
from warpsmith.core.garbage import collected_later

from .loopback import INPUT, KEY, OUTPUT, Act, Loopback, drop, events, hang, linger, raw, say, serve, status

ASKED = Request("001-coder-new-1", "You write kernels.", (Turn("user", "Write one."),), time_limit=20)
DIALECTS = {"responses": OpenAIResponses, "chat": OpenAIChat, "messages": AnthropicMessages}
every_stream = pytest.mark.parametrize("dialect", ["responses", "messages"])


def model(loopback: Loopback, dialect: str, key: str = KEY, name: str = "m") -> Model:
    prefix = "" if dialect == "messages" else "/v1"
    access = Access(key, "SOME_API_KEY", f"{loopback.url}{prefix}", own_server=True)
    return DIALECTS[dialect](f"{dialect}:{name}", name, access)


class Naps:
    """Sleeps that take no time, remembered."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def ask(loopback: Loopback, dialect: str, request: Request = ASKED) -> tuple[Reply, list[float]]:
    naps = Naps()
    return asyncio.run(Patient(model(loopback, dialect), naps).complete(request)), naps.seconds


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_an_answer_is_read_and_billed(dialect: str) -> None:
    with serve(say("Here you are: ΣΔ")) as loopback:
        reply, _ = ask(loopback, dialect)
    assert ("Here you are: ΣΔ", Finish.COMPLETE, 1) == (reply.text, reply.finish, reply.attempts)
    assert (INPUT, OUTPUT, False) == (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.estimated)
    assert reply.dollars is None


def test_tokens_from_the_cache_are_part_of_the_input() -> None:
    with serve(say("x")) as loopback:
        usages = [ask(loopback, dialect)[0].usage for dialect in ("responses", "messages")]
    assert [600, 600] == [usage.cached_tokens for usage in usages]
    assert [0, 100] == [usage.cache_written_tokens for usage in usages]
    assert 50 == usages[0].thinking_tokens


def test_the_stable_part_of_a_prompt_is_cached_by_anthropic() -> None:
    with serve(say("x")) as loopback:
        ask(loopback, "messages")
    assert [{"type": "text", "text": ASKED.system, "cache_control": {"type": "ephemeral"}}] == loopback.asked[0][
        "system"
    ]


def test_a_schema_reaches_the_server_in_each_dialects_place() -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    places = {
        "responses": lambda body: body["text"]["format"]["schema"],
        "chat": lambda body: body["response_format"]["json_schema"]["schema"],
        "messages": lambda body: body["output_config"]["format"]["schema"],
    }
    for dialect, place in places.items():
        with serve(say("{}")) as loopback:
            ask(loopback, dialect, replace(ASKED, schema=schema))
        assert schema == place(loopback.asked[0])


def test_a_dialogue_keeps_its_turns(dialect: str) -> None:
    with serve(say("x")) as loopback:
        ask(loopback, dialect, ASKED.answered("001-coder-new-2", "prose", "No kernel in it."))
    told = loopback.asked[0].get("input") or loopback.asked[0]["messages"]
    assert ["Write one.", "prose", "No kernel in it."] == [turn["content"] for turn in told if turn["role"] != "system"]


@pytest.mark.parametrize("finish", [Finish.CUT, Finish.REFUSED])
def test_an_answer_that_is_cut_or_refused_says_so(dialect: str, finish: Finish) -> None:
    with serve(say("I", finish=finish.value)) as loopback:
        assert finish == ask(loopback, dialect)[0].finish


def test_an_empty_answer_is_an_answer(dialect: str) -> None:
    with serve(say("")) as loopback:
        assert "" == ask(loopback, dialect)[0].text


def test_two_megabytes_are_not_read_to_the_end(dialect: str) -> None:
    with serve(say("x" * 2_000_000)) as loopback:
        reply, _ = ask(loopback, dialect)
    assert (Finish.TOO_LONG, 512 * 1024) == (reply.finish, len(reply.text))


@every_stream
@pytest.mark.parametrize("act", [say("x"), say("x" * 2_000_000), drop("x")])
def test_nothing_of_a_stream_is_left_half_read_for_the_collector(dialect: str, act: Act) -> None:
    """The collector would finalise it in the thread of an evaluation while the loop closes it too."""

    async def left_over() -> set[str]:
        before = half_read()
        with suppress(BusyError):
            await model(loopback, dialect).complete(ASKED)
        return {each.__qualname__ for each in half_read() - before}

    with serve(act) as loopback, collected_later():
        assert set() == asyncio.run(left_over())


def half_read() -> set[AsyncGeneratorType[Any, Any]]:
    return {each for each in gc.get_objects() if type(each) is AsyncGeneratorType and each.ag_frame is not None}


@every_stream
def test_a_server_that_goes_on_after_its_last_word_is_not_waited_for(dialect: str) -> None:
    with serve(linger("all", 15)) as loopback:
        reply, _ = ask(loopback, dialect, replace(ASKED, time_limit=10))
    assert ("all", Finish.COMPLETE, 1) == (reply.text, reply.finish, reply.attempts)


def test_a_busy_server_is_asked_again_when_it_says(dialect: str) -> None:
    with serve(status(429, retry_after="7"), say("x")) as loopback:
        reply, naps = ask(loopback, dialect)
    assert ([7.0], 7.0, 2) == (naps, reply.waited, reply.attempts)


def test_a_busy_server_that_names_no_time_is_asked_later_and_later(dialect: str) -> None:
    with serve(status(429), status(500), status(529), say("x")) as loopback:
        reply, naps = ask(loopback, dialect)
    assert (3, 4) == (len(naps), reply.attempts)
    assert all(0 <= nap <= 2**turn for turn, nap in enumerate(naps, 1))


def test_a_server_that_stays_broken_is_given_up(dialect: str) -> None:
    with serve(status(500)) as loopback, pytest.raises(ExhaustedError, match=f"500.*Asked {ATTEMPTS} times"):
        ask(loopback, dialect)
    assert ATTEMPTS == len(loopback.asked)


def test_a_server_that_wants_an_hour_is_not_waited_for(dialect: str) -> None:
    with serve(status(429, retry_after="3600")) as loopback, pytest.raises(ExhaustedError, match="Asked once"):
        ask(loopback, dialect)


@every_stream
def test_a_dropped_stream_is_asked_for_again_and_its_tokens_are_counted(dialect: str) -> None:
    with serve(drop("__global__ void half("), say("x")) as loopback:
        reply, _ = ask(loopback, dialect)
    assert ("x", 2, True) == (reply.text, reply.attempts, reply.usage.estimated)
    assert OUTPUT < reply.usage.output_tokens < OUTPUT + 20


@pytest.mark.parametrize(
    "act", [raw(b"{not json"), raw(b""), raw(b"[]"), raw(b'{"choices": null}'), raw(b'"\xff\xfe"')]
)
def test_garbage_is_asked_for_again(dialect: str, act: Act) -> None:
    with serve(act, say("x")) as loopback:
        assert "x" == ask(loopback, dialect)[0].text


@every_stream
@pytest.mark.parametrize("chunk", [b"data: {half\n\n", b"data: \xff\xfe\n\n", b"event: ping\ndata: {}\n\n"])
def test_a_stream_of_garbage_is_asked_for_again(dialect: str, chunk: bytes) -> None:
    with serve(events(chunk), say("x")) as loopback:
        assert "x" == ask(loopback, dialect)[0].text


def test_an_answer_that_takes_too_long_is_asked_for_again_and_its_question_is_billed(dialect: str) -> None:
    with serve(hang(0.6), say("x")) as loopback:
        reply, _ = ask(loopback, dialect, replace(ASKED, time_limit=0.3))
    assert ("x", 2) == (reply.text, reply.attempts)
    assert INPUT < reply.usage.input_tokens


def test_a_call_can_be_cancelled(dialect: str) -> None:
    async def impatient(loopback: Loopback) -> None:
        task = asyncio.ensure_future(model(loopback, dialect).complete(ASKED))
        await asyncio.sleep(0.2)
        task.cancel()
        await task

    with serve(hang(1)) as loopback, pytest.raises(asyncio.CancelledError):
        asyncio.run(impatient(loopback))


def test_a_wrong_key_is_named_by_its_variable_and_never_shown(dialect: str) -> None:
    with serve(say("x")) as loopback, pytest.raises(ModelError, match="SOME_API_KEY was refused") as caught:
        asyncio.run(model(loopback, dialect, key="sk-wrong-key").check())
    assert "sk-wrong-key" not in f"{caught.value}{caught.value.remedy}"


@pytest.mark.parametrize("code", [400, 413, 422])
def test_a_refused_request_is_not_repeated_and_hides_the_key(dialect: str, code: int) -> None:
    with serve(status(code)) as loopback, pytest.raises(ModelError, match="refused the request") as caught:
        ask(loopback, dialect)
    assert 1 == len(loopback.asked)
    assert KEY not in str(caught.value)


def test_an_unknown_model_is_found_out_before_the_run() -> None:
    with serve(say("x")) as loopback:
        access = Access(KEY, "SOME_API_KEY", f"{loopback.url}/v1")
        asyncio.run(OpenAIResponses("openai:m", "m", access).check())
        with pytest.raises(ModelError, match="no such model"):
            asyncio.run(OpenAIResponses("openai:n", "n", access).check())


def test_a_server_of_ones_own_need_not_list_its_models(dialect: str) -> None:
    with serve(say("x")) as loopback:
        asyncio.run(model(loopback, dialect, name="unlisted").check())


def test_a_refused_connection_names_the_address(dialect: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, never listening
        nobody = Loopback(url=f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(BusyError, match=f"cannot be reached at {nobody.url}") as caught:
            asyncio.run(model(nobody, dialect).check())
    assert "Check that a server runs" in caught.value.remedy


def test_retry_after_is_read_in_all_its_forms() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 7.0 == retry_after({"retry-after": "7"})
    assert 0.25 == retry_after({"retry-after-ms": "250", "retry-after": "7"})
    assert 25 < (retry_after({"retry-after": soon}) or 0) <= 30
    assert 0.0 == retry_after({"retry-after": "-1"})
    assert None is retry_after({})
    assert None is retry_after({"retry-after": "soon"})


def test_prices_are_known_for_known_models_and_unknown_for_others() -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    known = dollars("anthropic", "claude-sonnet-4-5", usage)
    cached = dollars("anthropic", "claude-sonnet-4-5", usage.model_copy(update={"cached_tokens": 900_000}))
    assert known is not None
    assert cached is not None
    assert 0 < cached < known
    assert None is dollars("openai", "nobodys-model", usage)


def test_a_key_does_not_show_in_what_holds_it() -> None:
    access = Access(KEY, "SOME_API_KEY", "http://x")
    assert KEY not in repr(OpenAIResponses("openai:m", "m", access))
    assert "[key] is wrong" == access.clean(f"{KEY}\n is wrong")
