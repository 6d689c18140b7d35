"""The only place a digest is computed."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def digest_bytes(data: bytes) -> str:
    """SHA-256 of `data` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest_text(text: str) -> str:
    """SHA-256 of the text in UTF-8."""
    return digest_bytes(text.encode())


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spare spaces: equal values give equal text. NaN is refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def digest_json(value: Any) -> str:
    """Digest of a JSON value's canonical text."""
    return digest_text(canonical_json(value))
