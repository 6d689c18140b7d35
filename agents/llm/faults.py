"""Turns what the providers' clients raise into our two errors: worth another attempt, or not.

Both clients come from one generator and name their exceptions alike, so one map serves both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from types import ModuleType
from typing import Any

from warpsmith.agents.llm.access import Access
from warpsmith.agents.llm.model import BusyError
from warpsmith.core.calls import Usage
from warpsmith.core.errors import ModelError

WORTH_ANOTHER_ATTEMPT = frozenset({408, 409, 425, 429})
OUT_OF_MONEY = ("insufficient_quota", "billing", "credit balance")
"""Words in a 429 that waiting does not help."""


@contextmanager
def complaints_of(sdk: ModuleType, model: str, access: Access, used: Callable[[], Usage] = Usage) -> Iterator[None]:
    """Map a client's exceptions, once.

    Args:
        sdk: `openai` or `anthropic`.
        model: as a person writes it.
        access: whose key and address the messages may speak of.
        used: what a broken answer had used so far.

    Raises:
        BusyError: overloaded, unreachable, dropped, or an answer that is no answer.
        ModelError: the key, the model, the request or the account is refused.
    """
    import httpx2

    try:
        yield
    except sdk.APITimeoutError as error:
        raise BusyError(f"{model} gave no answer in time.", lost=used()) from error
    except sdk.APIConnectionError as error:
        remedy = f"Check that a server runs at {access.base_url}." if access.own_server else "Check the network."
        message = f"{model} cannot be reached at {access.base_url}: {access.clean(str(error.__cause__ or error))}."
        raise BusyError(message, remedy=remedy, lost=used()) from error
    except sdk.APIStatusError as error:
        raise _refusal(error, model, access, used) from error
    except sdk.APIError as error:  # an `error` event inside a stream, or a body that does not fit
        raise BusyError(f"{model} broke off: {access.clean(str(error))}.", lost=used()) from error
    except httpx2.HTTPError as error:
        raise BusyError(f"{model} dropped its answer: {access.clean(str(error))}.", lost=used()) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BusyError(f"{model} sent something that is no answer: {type(error).__name__}.", lost=used()) from error


def _refusal(error: Any, model: str, access: Access, used: Callable[[], Usage]) -> ModelError:
    status, words = int(error.status_code), access.clean(str(error.message))
    if status in (401, 403):
        message = f"{model}: the key in {access.variable} was refused ({status})."
        return ModelError(message, remedy=f"Set {access.variable} to a key that is valid for this model.")
    if status == 404:
        message = f"{model}: there is no such model at {access.base_url} (404)."
        return ModelError(message, remedy="Check the model's name, and that your key may use it.")
    if status == 402 or (status == 429 and any(word in words.lower() for word in OUT_OF_MONEY)):
        return ModelError(f"{model}: the account has no money left: {words}", remedy="Top it up, then resume.")
    if status in WORTH_ANOTHER_ATTEMPT or status >= 500:
        wait = retry_after(error.response.headers)
        return BusyError(f"{model} is overloaded or failed ({status}).", retry_after=wait, lost=used())
    return ModelError(f"{model} refused the request ({status}): {words}", remedy="Choose another model.")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds a server asks to be left alone (RFC 9110, section 10.2.3; `retry-after-ms` is both providers' own)."""
    from datetime import UTC, datetime

    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        return max(0.0, float(headers["retry-after"]))
    except KeyError:
        return None
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(headers["retry-after"])
    except ValueError:
        return None
    return max(0.0, (then - datetime.now(UTC)).total_seconds()) if then.tzinfo else None
