"""The task in docs/writing-a-task.md loads, is sound, and says what it is said to."""

import re
from pathlib import Path

import pytest

from warpsmith.core.errors import TaskError
from warpsmith.sandbox.verify.task_gate import check_task
from warpsmith.tasks import load_task

PAGE = (Path(__file__).parents[2] / "docs" / "writing-a-task.md").read_text()
CODE, ERROR = (re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) for kind in ("python", "text"))


@pytest.fixture
def page(tmp_path: Path) -> Path:
    assert CODE is not None
    path = tmp_path / "row_softmax.py"
    path.write_text(CODE[1])
    return path


def test_the_tutorials_task_is_sound(page: Path) -> None:
    report = check_task(load_task(page))
    assert report.problems == ()
    assert report.tried > 10


def test_the_tutorials_error_is_what_a_wrong_shape_gives(page: Path) -> None:
    assert ERROR is not None
    page.write_text(page.read_text().replace('Output("y", ("R", "C")', 'Output("y", ("R", "D")'))
    with pytest.raises(TaskError) as caught:
        load_task(page)
    assert str(caught.value).endswith(ERROR[1].strip())
