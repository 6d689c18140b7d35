"""Writes pages: one template each, style and script inlined, and a policy that lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
from functools import cached_property
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from warpsmith.core.errors import LibraryError

MOST_BYTES = 500_000
"""A page is no larger."""


class Pages:
    """A folder of pages. Kernel texts and models' words are escaped in them, and no script of theirs would run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: list[Path] = []

    @cached_property
    def _environment(self) -> Environment:
        loader = PackageLoader("warpsmith.leaderboard.site")
        environment = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        environment.filters.update(percent=percent, us=microseconds, ratio=ratio, short=short, count=count, money=money)
        style, script = (_asset(name) for name in ("site.css", "site.js"))
        environment.globals.update(style=style, script=script, policy=_policy(style, script))
        return environment

    def write(self, template: str, place: str, **view: object) -> None:
        """Render one page to `place` below the folder.

        Raises:
            LibraryError: the folder cannot be written, or a name from a run leads out of it.
        """
        path = self.folder / place
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise LibraryError(f"a page named {place!r} would lie outside {self.folder}.", remedy="Remove that run.")
        up = "../" * place.count("/")
        text = self._environment.get_template(template).render(up=up, place=place, **view)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise LibraryError(f"{path} cannot be written: {error.strerror}.", remedy="Name another folder.") from error
        self.written.append(path)


def _asset(name: str) -> str:
    return files("warpsmith.leaderboard.site").joinpath("static", name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Only this style and this script, by their digests; nothing from anywhere else."""
    ours = f"style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    return f"default-src 'none'; {ours}; img-src data:; base-uri 'none'"


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def percent(value: float | None) -> str:
    return f"{value:.1%}" if value is not None else "-"


def microseconds(value: float | None) -> str:
    return f"{value:,.2f}" if value is not None else "-"


def ratio(value: float | None) -> str:
    return f"{value:.2f}x" if value else "-"


def short(digest: str) -> str:
    return digest[:12]


def count(value: float) -> str:
    """Three significant digits, with a power of ten where it is long."""
    return f"{value:,.0f}" if abs(value) < 1e6 and value == int(value) else f"{value:.3g}"


def money(value: float | None) -> str:
    return f"${value:.2f}" if value is not None else "unknown"


def bounded(text: str, limit: int = MOST_BYTES // 8) -> str:
    """The text, or its beginning with a word on what was left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n… {len(text) - limit:,} characters more are in the store: warpsmith runs export"
