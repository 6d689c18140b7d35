"""One kernel file with one knob assignment, proposed for one task."""

from __future__ import annotations

from pydantic import Field

from warpsmith.core.digest import digest_json, digest_text
from warpsmith.core.record import Record


class Candidate(Record):
    """Identity is the digest of text and knobs; where it came from does not matter to it."""

    task: str = Field(min_length=1)
    language: str = Field(pattern="^(cuda|triton)$")
    text: str = Field(min_length=1)
    """The kernel file, whole."""
    knobs: dict[str, int] = Field(default_factory=dict)
    """Every knob of `[tune]`, assigned."""

    @property
    def text_digest(self) -> str:
        return digest_text(self.text)

    @property
    def identity(self) -> str:
        """Digest of (task, text, knobs)."""
        return digest_json({"task": self.task, "text": self.text_digest, "knobs": self.knobs})


PRELUDE = "ws_prelude.cuh"
"""The header that stands before a kernel file: types, limits, and the conversions of `namespace ws`."""


class TranslationUnit(Record):
    """The texts a CUDA candidate compiles from, for one build key."""

    text: str
    """The kernel file as the author wrote it, line numbers intact."""
    preamble: str
    """Aliases, knobs and constants as constexpr ints: stands behind all headers, before the candidate's code."""
    appendix: str
    """static_asserts that hold each launch's argument list against the kernel's signature."""
    names: tuple[str, ...]
    """Name expressions to lower, in plan order, e.g. `gemm<BM, BN>`."""
    prelude: str = PRELUDE
    """The header that stands before everything: another where the file has a `ws` of its own, or is no kernel file."""
