"""A file is written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from warpsmith.core.whole_file import write_whole


def test_a_file_is_made_with_its_folder_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_whole(path, b"first, and long")
    write_whole(path, b"second")
    assert b"second" == path.read_bytes()
    assert [path] == list(path.parent.iterdir())


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "taken"
    path.mkdir()
    with pytest.raises(OSError, match="taken"):
        write_whole(path, b"data")
    assert [path] == list(tmp_path.iterdir())
