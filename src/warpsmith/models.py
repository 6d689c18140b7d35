"""From what a person writes behind `--coder` and `--judge` to a model that can be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from warpsmith.core.errors import SettingsError
from warpsmith.settings import read_provider

if TYPE_CHECKING:
    from warpsmith.agents.llm.model import Model

FORMS = "builtin, openai:MODEL, anthropic:MODEL, handoff:DIR or scripted:DIR"
OWN_ADDRESS = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}
NO_KEY = "none"
"""Sent to a server of the user's own where no key is set: such servers mostly ask for none."""


def canonical(choice: str) -> str:
    """The choice as a run records it, with folders absolute, so that `resume` works from anywhere.

    Raises:
        SettingsError: it names nothing.
    """
    kind, _, rest = choice.partition(":")
    if choice == "builtin":
        return choice
    if kind not in ("openai", "anthropic", "handoff", "scripted") or not rest:
        raise SettingsError(f"there is no model {choice!r}.", remedy=f"Choose {FORMS}.")
    if kind in OWN_ADDRESS:
        _address(rest)
        return choice
    folder, at, who = rest.partition("@")
    return f"{kind}:{Path(folder).expanduser().absolute()}{at}{who}"


def open_model(choice: str, *, run: str = "", tell: Callable[[str], None] = lambda text: None) -> Model:
    """A model ready to be asked; for a choice that is not `builtin`.

    Raises:
        SettingsError: it names nothing, or its key is not set.
    """
    kind, _, rest = canonical(choice).partition(":")
    if kind == "handoff":
        from warpsmith.agents.llm.handoff import Handoff

        folder, _, who = rest.partition("@")
        return Handoff(Path(folder), run=run, who=who, tell=tell)
    if kind == "scripted":
        from warpsmith.agents.llm.scripted import Scripted

        return Scripted(Path(rest))
    return _served(choice, kind, rest)


def _served(choice: str, kind: str, rest: str) -> Model:
    """A model behind a provider's API, patient with its moods."""
    from warpsmith.agents.llm.access import Access
    from warpsmith.agents.llm.anthropic_models import AnthropicMessages
    from warpsmith.agents.llm.openai_models import OpenAIChat, OpenAIResponses
    from warpsmith.agents.llm.retry import Patient

    provider = read_provider(kind)
    name, url = _address(rest)
    base_url = url or provider.base_url
    if not provider.key and not base_url:
        raise SettingsError(
            f"{choice} needs a key, and {provider.variable} is not set.",
            remedy=f"Set {provider.variable}, or use --coder builtin, which needs none.",
        )
    access = Access(
        key=provider.key or NO_KEY,
        variable=provider.variable,
        base_url=base_url or OWN_ADDRESS[kind],
        own_server=bool(base_url),
    )
    if kind == "anthropic":
        return Patient(AnthropicMessages(choice, name, access))
    api = provider.api or ("chat" if base_url else "responses")
    return Patient(OpenAIChat(choice, name, access) if api == "chat" else OpenAIResponses(choice, name, access))


def _address(rest: str) -> tuple[str, str]:
    """`MODEL@URL` -> (model, address); the address may be empty.

    Raises:
        SettingsError: the address is none, or carries a password, which would be recorded with the run.
    """
    name, _, url = rest.partition("@")
    if not url:
        return name, ""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"{url!r} is no address of a server.", remedy="Write MODEL@http://host:port/v1.")
    if parts.username or parts.password or parts.query:
        raise SettingsError(
            "an address with a password or a query would be recorded with the run.",
            remedy="Give the key in the provider's environment variable.",
        )
    return name, url


def check_models(models: Iterable[Model]) -> None:
    """Find out, before anything is compiled, whether each can be asked.

    Raises:
        ModelError: one cannot.
    """

    async def check() -> None:
        for model in {model.name: model for model in models}.values():
            await model.check()

    asyncio.run(check())
