"""Makes pages: one template each, style and script inlined, and a policy that lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
from functools import cached_property
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

MOST_BYTES = 500_000
"""A page is no larger."""


class Pages:
    """Makes pages. Kernel texts and models' words are escaped in them, and no script of theirs would run."""

    live = False
    """Whether pages ask a server for news."""

    def render(self, template: str, place: str, **view: object) -> str:
        """One page, which lies at `place` below the site's folder."""
        return self._template(template).render(up="../" * place.count("/"), place=place, **view)

    def _template(self, name: str) -> Template:
        if name not in self._templates:
            self._templates[name] = self._environment.get_template(name)
        return self._templates[name]

    @cached_property
    def _templates(self) -> dict[str, Template]:
        return {}

    @property
    def policy(self) -> str:
        """Only the site's own style and script, by their digests; nothing from anywhere else."""
        style, script = (_digest(_asset(name)) for name in ("site.css", "site.js"))
        return (
            f"default-src 'none'; style-src '{style}'; script-src '{script}'; img-src data:; base-uri 'none'; "
            "form-action 'none'"
        )

    @cached_property
    def _environment(self) -> Environment:
        loader = PackageLoader("warpsmith.leaderboard.site")
        environment = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        environment.filters.update(percent=percent, us=microseconds, ratio=ratio, short=short, count=count, money=money)
        style, script = (Markup(_asset(name)) for name in ("site.css", "site.js"))  # noqa: S704 - our own files
        environment.globals.update(style=style, script=script, policy=self.policy, live=self.live)
        return environment


def _asset(name: str) -> str:
    return files("warpsmith.leaderboard.site").joinpath("static", name).read_text(encoding="utf-8")


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


def bounded(text: str, limit: int = MOST_BYTES * 2 // 5) -> Markup:
    """The text as a page holds it, in at most about `limit` bytes; where it is cut, a word on what was left out."""
    kept, escaped = text, escape(text)
    while (size := len(escaped.encode())) > limit:
        kept = kept[: int(len(kept) * limit / size)]
        escaped = escape(kept)
    if len(kept) == len(text):
        return escaped
    return escaped + f"\n… {len(text) - len(kept):,} characters more are in the store: warpsmith runs export"
