"""The base of every stored record: frozen, closed to unknown fields, named by its content."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from warpsmith.core.digest import digest_json


class Record(BaseModel):
    """A value that cannot change and cannot hold a field it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def digest(self) -> str:
        """Name this record by its content: 64 hexadecimal digits."""
        return digest_json(self.model_dump(mode="json"))
