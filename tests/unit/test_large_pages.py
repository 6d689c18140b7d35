"""What the command line asks of torch before it is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.without_torch import needs_torch
from warpsmith.settings import ask_for_large_pages

FAULTS = """
import resource, sys
from warpsmith.settings import ask_for_large_pages
if sys.argv[1] == "asked":
    ask_for_large_pages()
import torch
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
kept = torch.ones(64 << 20, dtype=torch.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    run = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
    return int(run.stdout)


@needs_torch
@pytest.mark.full
def test_large_tensors_take_few_page_faults_where_they_were_asked_for() -> None:
    state = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not state.exists() or "[madvise]" not in state.read_text():
        pytest.skip("this machine gives large pages to all or to none")
    assert faults("asked") * 4 < faults("not asked")


def test_what_the_user_says_stands() -> None:
    environment = {"THP_MEM_ALLOC_ENABLE": "0"}
    ask_for_large_pages(environment)
    assert environment == {"THP_MEM_ALLOC_ENABLE": "0"}
