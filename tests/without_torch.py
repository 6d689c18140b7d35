"""Where PyTorch is not installed, tests that ask for it skip; the others run, and show what works without it.

A pytest plugin that does nothing elsewhere. A test counts as asking for it where its process looked for the module, or
a process that it started said that there is none.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Generator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

MISSING = frozenset(name for name in ("torch", "triton") if importlib.util.find_spec(name) is None)
WHY = "needs PyTorch or Triton, which are not installed"
needs_torch = pytest.mark.skipif(bool(MISSING), reason=WHY)
"""For what fails without it in a process whose words the test keeps to itself."""


class _Asked:
    """Stands last among the finders of modules: what reaches it is not there."""

    def __init__(self) -> None:
        self.missing = False

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name in MISSING:
            self.missing = True
        return None


_asked = _Asked()
if MISSING:
    sys.meta_path.append(_asked)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Skip a module that cannot be imported without it."""
    _asked.missing = False
    report = yield
    if report.failed and _asked.missing:
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, WHY)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Begin a test that has asked for nothing yet."""
    _asked.missing = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Skip a test that failed for want of it."""
    report = yield
    if MISSING and report.failed and (_asked.missing or _says_so(report)):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, WHY)
    return report


def _says_so(report: pytest.TestReport) -> bool:
    said = str(report.longrepr) + "".join(text for _, text in report.sections)
    return any(f"No module named '{name}'" in said for name in MISSING)
