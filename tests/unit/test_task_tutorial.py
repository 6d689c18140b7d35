"""docs/writing-a-task.md, typed word by word: what it has saved is saved, what it has typed runs as it says."""

import re
from pathlib import Path

import pytest

from warpsmith.cli.program import run
from warpsmith.core.errors import TaskError
from warpsmith.sandbox.verify.task_gate import check_task
from warpsmith.tasks import load_task

PAGE = (Path(__file__).parents[2] / "docs" / "writing-a-task.md").read_text()
BLOCKS = re.findall(r"((?:^[^\n]+\n)*)\n```(python|cuda|console|text)\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
"""(paragraph before, kind, content), in order."""
ERROR = next(content for _, kind, content in BLOCKS if kind == "text")
EXIT_CODE = re.compile(r"^It ends with exit code (\d) and says that (`\w+` is unknown)\.", re.MULTILINE)
"""What stands below a command that is meant to fail."""


def saved(folder: Path, paragraph: str, content: str) -> Path:
    named = re.search(r"Save this over `(\S+)`:\s*\Z", paragraph)
    assert named, f"no file is named for {content[:60]!r}"
    path = folder / named[1]
    path.write_text(content)
    return path


def commands(content: str) -> list[tuple[str, list[str]]]:
    """Each command with the lines shown below it."""
    typed: list[tuple[str, list[str]]] = []
    for line in content.splitlines():
        if line.startswith("$ "):
            typed.append((line.removeprefix("$ warpsmith "), []))
        else:
            typed[-1][1].append(line)
    return typed


def after(content: str) -> str:
    """The text that follows a block."""
    return PAGE.split(f"\n{content}```\n", 1)[1].lstrip()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WARPSMITH_STORE", str(tmp_path / "store.sqlite"))
    monkeypatch.setenv("WARPSMITH_LIBRARY", str(tmp_path / "library"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.full
def test_the_tutorial_works_word_by_word(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = 0
    for paragraph, kind, content in BLOCKS:
        if kind in ("python", "cuda"):
            assert saved(desk, paragraph, content).exists()
        if kind != "console":
            continue
        for command, shown in commands(content):
            code = run(command.split())
            printed = capsys.readouterr()
            meant = EXIT_CODE.match(after(content))
            assert int(meant[1] if meant else 0) == code, printed.err
            if meant:
                assert meant[2] in printed.err
            for line in shown:
                assert any(row.startswith(line) for row in printed.out.splitlines()), printed.out
            done += 1
    assert 7 == done
    assert list((desk / "library" / "row_softmax").glob("*/kernel.cu"))


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return saved(tmp_path, *next((paragraph, content) for paragraph, kind, content in BLOCKS if kind == "python"))


def test_the_tutorials_task_is_sound(page: Path) -> None:
    report = check_task(load_task(page))
    assert report.problems == ()
    assert report.tried > 10


def test_the_tutorials_error_is_what_a_wrong_shape_gives(page: Path) -> None:
    page.write_text(page.read_text().replace('Output("y", ("R", "C")', 'Output("y", ("R", "D")'))
    with pytest.raises(TaskError) as caught:
        load_task(page)
    assert str(caught.value).endswith(ERROR.strip())


@pytest.mark.parametrize("marked", range(1, 8))
def test_every_marked_place_that_the_tutorial_names_is_in_a_new_task(desk: Path, marked: int) -> None:
    run(["tasks", "new", "mine"])
    assert 1 == (desk / "mine.py").read_text().count(f"# [{marked}] ")


def test_a_new_task_overwrites_nothing(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (desk / "mine.cu").write_text("precious")
    assert 2 == run(["tasks", "new", "mine"])
    assert "exists already" in capsys.readouterr().err
    assert "precious" == (desk / "mine.cu").read_text()
    assert not (desk / "mine.py").exists()


@pytest.mark.parametrize("name", ["Mine", "2d", "a-b", "../x", "w4a16_gemm"])
def test_a_name_that_no_new_task_can_have_is_refused(desk: Path, name: str) -> None:
    assert 2 == run(["tasks", "new", name])
    assert [] == list(desk.iterdir())
