"""The command line: one message an error, one object with --json, exit codes that scripts can trust."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from warpsmith import app
from warpsmith.cli.kernels import find_kernel
from warpsmith.cli.options import parse_knobs
from warpsmith.cli.program import run
from warpsmith.core.errors import SettingsError
from warpsmith.settings import API_KEYS, VARIABLES, api_keys, read_settings

Captured = pytest.CaptureFixture[str]

TUNED = """// /// kernel
// task = "w4a16_gemm"
//
// [tune]
// BN = [64, 128]
//
// [[launch]]
// kernel = "gemm<BN>"
// grid = "cdiv(N, BN)"
// block = "BN"
// ///
template <int B> __global__ void gemm(const x_t* x, y_t* y) {}
"""


def run_json(captured: Captured, *arguments: str) -> tuple[int, dict[str, object]]:
    code = run([*arguments, "--json"])
    out = captured.readouterr().out
    assert 1 == out.count("\n")
    found = json.loads(out)
    assert isinstance(found, dict)
    return code, found


def test_help_names_every_command(capsys: Captured) -> None:
    assert 0 == run(["--help"])
    shown = capsys.readouterr().out
    for command in ("optimize", "resume", "verify", "profile", "emulate", "tasks", "leaderboard", "doctor"):
        assert command in shown


def test_version_is_the_installed_one(capsys: Captured) -> None:
    assert 0 == run(["--version"])
    assert capsys.readouterr().out.startswith("warpsmith 0.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["optimise"], "Did you mean 'optimize'?"),
        (["optimize"], "TASK"),
        (["optimize", "w4a16_gemm", "--rounds", "0"], "--rounds"),
        (["verify", "x.cu", "--device", "quantum"], "quantum"),
        (["tasks"], "Missing command"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(capsys: Captured, arguments: list[str], message: str) -> None:
    assert 2 == run(arguments)
    shown = capsys.readouterr()
    assert "" == shown.out
    assert message in shown.err
    assert "Traceback" not in shown.err


def test_wrong_usage_with_json_is_one_object(capsys: Captured) -> None:
    code, found = run_json(capsys, "optimise")
    assert 2 == code
    assert "UsageError" == found["error"]["kind"]  # type: ignore[index]


def test_an_unknown_task_ends_with_2_and_a_remedy(capsys: Captured) -> None:
    code, found = run_json(capsys, "tasks", "show", "w4a16_gem")
    assert (2, "TaskError") == (code, found["error"]["kind"])  # type: ignore[index]
    assert "w4a16_gemm" in found["error"]["remedy"]  # type: ignore[index]


def test_tasks_are_listed_and_shown(capsys: Captured) -> None:
    code, found = run_json(capsys, "tasks", "list")
    assert 0 == code
    names = [item["name"] for item in found["tasks"]]  # type: ignore[attr-defined]
    assert "w4a16_gemm" in names
    code, found = run_json(capsys, "tasks", "show", "w4a16_gemm")
    assert (0, "w4a16_gemm", "quantized_gemm") == (code, found["name"], found["family"])
    assert 0 == run(["tasks", "show", "w4a16_gemm"])
    assert "[K // 8, N] (static)" in capsys.readouterr().out


def test_a_leaderboard_of_a_task_that_ships_is_no_error_and_of_that_task_alone(
    capsys: Captured, tmp_path: Path
) -> None:
    code, found = run_json(capsys, "leaderboard", "--library", str(tmp_path), "w4a16_gemm")
    ranked = {board["task"] for board in found["boards"]}  # type: ignore[attr-defined]
    assert 0 == code
    assert ranked <= {"w4a16_gemm"}, "kernels that ship may be stale, and are not ranked then"


@pytest.mark.parametrize(("name", "said"), [("no_such_task", "Known are: moe_forward"), ("w4a16_gem", "`w4a16_gemm`?")])
def test_a_leaderboard_of_a_task_that_nobody_knows_ends_with_2_and_the_tasks_there_are(
    capsys: Captured, tmp_path: Path, name: str, said: str
) -> None:
    where = ("--library", str(tmp_path), "--store", str(tmp_path / "none.sqlite"))
    code, found = run_json(capsys, "leaderboard", name, *where)
    assert (2, "SettingsError") == (code, found["error"]["kind"])  # type: ignore[index]
    assert said in found["error"]["remedy"]  # type: ignore[index]


@pytest.mark.parametrize("as_json", [True, False])
def test_ctrl_c_ends_with_130_and_reads_like_no_verdict(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("warpsmith.tasks.find.find_tasks", interrupted)
    assert 130 == run(["tasks", "list", *(["--json"] if as_json else [])])
    shown = capsys.readouterr()
    said = shown.out if as_json else shown.err
    assert ("Interrupted" in said) if as_json else ("error: interrupted.\n" == said)


def test_a_missing_kernel_ends_with_2(capsys: Captured, tmp_path: Path) -> None:
    code, found = run_json(capsys, "verify", str(tmp_path / "absent.cu"))
    assert (2, "SettingsError") == (code, found["error"]["kind"])  # type: ignore[index]


def test_a_kernel_file_without_head_block_names_the_file(capsys: Captured, tmp_path: Path) -> None:
    path = tmp_path / "bare.cu"
    path.write_text("__global__ void f() {}\n")
    assert 2 == run(["verify", str(path)])
    assert str(path) in capsys.readouterr().err


def test_what_is_given_as_a_kernel_is_named_as_what_it_is(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "folder.cu").mkdir()
    (tmp_path / "binary.cu").write_bytes(bytes(range(256)))
    for name, said in (
        ("folder.cu", "is a folder"),
        ("binary.cu", "is no text"),
        ("absent.cu", "there is no kernel file"),
    ):
        for command in ("verify", "profile", "emulate"):
            assert 2 == run([command, str(tmp_path / name)])
            assert said in capsys.readouterr().err, (command, name)


def test_a_plain_file_that_is_missing_is_said_before_what_it_would_be_launched_with(
    capsys: Captured, tmp_path: Path
) -> None:
    assert 2 == run(["emulate", str(tmp_path / "absent.ptx"), "--grid", "1"])
    assert "there is no file" in capsys.readouterr().err


def test_a_byte_order_mark_is_no_part_of_a_kernel_file(tmp_path: Path) -> None:
    path = tmp_path / "marked.cu"
    path.write_bytes(b"\xef\xbb\xbf// /// kernel\n")
    assert "// /// kernel\n" == app.read_text(path)


def test_a_missing_argument_names_the_command_that_lacks_it(capsys: Captured) -> None:
    assert 2 == run(["verify"])
    assert "See warpsmith verify --help." in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "// no head block\n"])
def test_a_seed_kernel_that_is_none_is_refused_before_anything_is_recorded(
    capsys: Captured, tmp_path: Path, text: str
) -> None:
    path, store = tmp_path / "seed.cu", str(tmp_path / "store.sqlite")
    path.write_text(text)
    assert 2 == run(["optimize", "w4a16_gemm", "--seed-kernel", str(path), "--rounds", "1", "--store", store])
    assert f"{path}:1: There is no head block." in capsys.readouterr().err
    assert 0 == run(["runs", "list", "--store", store])
    assert "holds no run" in capsys.readouterr().err


def test_a_library_that_cannot_be_written_ends_a_run_before_its_search(capsys: Captured, tmp_path: Path) -> None:
    library, store = tmp_path / "file", str(tmp_path / "store.sqlite")
    library.write_text("in the way")
    code, found = run_json(capsys, "optimize", "w4a16_gemm", "--library", str(library), "--store", store)
    assert (3, "LibraryError") == (code, found["error"]["kind"])  # type: ignore[index]
    assert "--library DIR" in found["error"]["remedy"]  # type: ignore[index]


def test_to_look_at_runs_makes_no_store(capsys: Captured, tmp_path: Path) -> None:
    store = tmp_path / "mistyped.sqlite"
    for words, code in ((["list"], 0), (["show"], 2), (["show", "20260101-r1"], 2), (["export", "r", "f"], 3)):
        assert code == run(["runs", *words, "--store", str(store)]), words
        assert str(store) in capsys.readouterr().err
    assert [] == [*tmp_path.iterdir()]


def test_resuming_in_an_empty_store_ends_with_2(capsys: Captured, tmp_path: Path) -> None:
    code, found = run_json(capsys, "resume", "--store", str(tmp_path / "store.sqlite"))
    assert (2, "SettingsError") == (code, found["error"]["kind"])  # type: ignore[index]


def test_a_gpu_that_is_not_there_ends_with_3_and_a_way_on(capsys: Captured, tmp_path: Path) -> None:
    store = str(tmp_path / "store.sqlite")
    code, found = run_json(capsys, "optimize", "w4a16_gemm", "--device", "cuda", "--store", store)
    assert (3, "DeviceError") == (code, found["error"]["kind"])  # type: ignore[index]
    assert "--device emulator" in found["error"]["remedy"]  # type: ignore[index]


def test_a_kernel_is_a_file_or_the_digits_of_a_digest(tmp_path: Path) -> None:
    path = tmp_path / "mine.cu"
    path.write_text("// text")
    assert (path, None) == find_kernel(str(path), tmp_path)
    with pytest.raises(SettingsError, match="no kernel in"):
        find_kernel("abcdef", tmp_path)
    with pytest.raises(SettingsError, match="no kernel file abc"):
        find_kernel("abc", tmp_path)


def test_knobs_read_as_assignments() -> None:
    assert {"BN": 64, "LOW": -1} == parse_knobs(["BN=64", "LOW=-1"])
    assert None is parse_knobs([])
    for wrong in ("BN", "BN=", "=4", "BN=x", "BN=1.5"):
        with pytest.raises(SettingsError, match="is no assignment"):
            parse_knobs([wrong])


def test_settings_come_from_the_environment_then_the_checkout_then_the_user(tmp_path: Path) -> None:
    chosen = {
        "WARPSMITH_STORE": str(tmp_path / "s"),
        "WARPSMITH_LIBRARY": str(tmp_path / "l"),
        "WARPSMITH_THREADS": "3",
    }
    settings = read_settings(chosen, folder=tmp_path)
    assert (tmp_path / "s", tmp_path / "l", 3) == (settings.store, settings.library, settings.threads)
    root = Path(__file__).parents[2]
    assert root / "kernels_generated" == read_settings({}, folder=root / "tests").library
    assert tmp_path not in read_settings({}, folder=tmp_path).library.parents
    assert "warpsmith.sqlite" == read_settings({}, folder=tmp_path).store.name


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_a_thread_count_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="WARPSMITH_THREADS"):
        read_settings({"WARPSMITH_THREADS": text})


def test_api_keys_are_named_and_never_shown() -> None:
    assert () == api_keys(dict.fromkeys(API_KEYS, ""))
    assert ("OPENAI_API_KEY",) == api_keys({"OPENAI_API_KEY": "secret"})


def test_every_variable_is_documented() -> None:
    documented = (Path(__file__).parents[2] / "docs" / "cli-json.md").read_text()
    assert [] == [name for name in VARIABLES if name not in documented]


@pytest.mark.parametrize(("name", "near"), [("w4a16_gem", "Did you mean `w4a16_gemm`?"), ("mine", "Known are: ")])
def test_a_kernel_of_a_task_that_does_not_ship_is_told_at_its_line_how_to_name_one(
    capsys: Captured, tmp_path: Path, name: str, near: str
) -> None:
    kernel = tmp_path / "kernel.cu"
    kernel.write_text(TUNED.replace("w4a16_gemm", name))
    for command in ("verify", "emulate", "profile"):
        assert 2 == run([command, str(kernel)])
        shown = capsys.readouterr().err
        assert f"{kernel}:2:4: No task `{name}` ships." in shown
        assert "--task FILE.py" in shown
        assert near in shown


def test_a_knob_that_is_not_there_or_has_no_such_value_ends_with_2(capsys: Captured, tmp_path: Path) -> None:
    path = tmp_path / "tuned.cu"
    path.write_text(TUNED)
    for assignment, message in (("BM=64", "no knob `BM`"), ("BN=96", "`BN` cannot be 96")):
        code, found = run_json(capsys, "verify", str(path), "--knob", assignment)
        assert (2, "KernelFileError") == (code, found["error"]["kind"])  # type: ignore[index]
        assert message in found["error"]["message"]  # type: ignore[index]


def test_every_key_of_a_task_that_is_shown_is_documented(capsys: Captured) -> None:
    _, found = run_json(capsys, "tasks", "show", "w4a16_gemm")
    documented = (Path(__file__).parents[2] / "docs" / "cli-json.md").read_text()
    parts = [found, found["inputs"][0], found["outputs"][0], found["bench"][0]]  # type: ignore[index]
    missing = [key for part in parts for key in part if key not in documented]
    assert [] == missing
