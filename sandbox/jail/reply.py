"""A child's answer held against the form it must have: what comes out of a jail is a claim."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from warpsmith.core.record import Record
from warpsmith.sandbox.jail.worker import Answer, Died, TimedOut

_Form = TypeVar("_Form", bound=Record)


def checked(answer: Answer, form: type[_Form], *, blobs: int) -> tuple[_Form, list[bytes]] | TimedOut | Died:
    """The answer as a record of this form with so many blobs; `Died` where it is not one."""
    if isinstance(answer, TimedOut | Died):
        return answer
    try:
        record = form.model_validate(answer.message)
    except ValidationError as error:
        return Died(f"a reply that is no {form.__name__}: {error.error_count()} of its fields do not fit")
    if len(answer.blobs) != blobs:
        return Died(f"a reply with {len(answer.blobs)} blobs")
    return record, [bytes(blob) for blob in answer.blobs]
