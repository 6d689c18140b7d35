"""The server on loopback: what it answers and to whom, and that a run's page follows the run."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.site.answering import Client, Recording, answering
from tests.site.recorded import BEST, digest_of, record
from warpsmith.core.errors import SettingsError
from warpsmith.kernels_generated.shelf import Shelf, read_shelf
from warpsmith.leaderboard.live import Answers, serve
from warpsmith.leaderboard.live.server import is_loopback
from warpsmith.store import Store


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server over one recorded run and the kernels that came of it."""
    folder = tmp_path_factory.mktemp("live")
    with Store.open(folder / "store.sqlite") as store:
        record(store, folder / "library")
    with answering(folder / "store.sqlite", folder / "library", cache=folder / "cache") as client:
        yield client


def test_every_link_leads_to_a_page(full: Client) -> None:
    seen, open_ = set[str](), ["/"]
    while open_:
        path = open_.pop()
        seen.add(path)
        for href in re.findall(r'href="([^"#]+)(?:#[^"]*)?"', full.page(path)):
            if href.startswith("data:"):
                continue
            target = urljoin(path, href)
            if target not in seen and target not in open_:
                open_.append(target)
    assert len(seen) > 20


def test_a_page_is_not_sent_again_while_nothing_changes(full: Client) -> None:
    status, headers, _ = full.ask("/runs/index.html")
    assert status == 200
    status, again, text = full.ask("/runs/index.html", If_None_Match=headers["ETag"])
    assert (304, "", headers["ETag"]) == (status, text, again["ETag"])


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8877", "localhost", "LOCALHOST.", "localhost:1", "[::1]", "[::1]:8877"]
)
def test_loopback_by_any_of_its_names_is_answered(full: Client, host: str) -> None:
    assert is_loopback(host)
    assert 200 == full.ask("/", Host=host)[0]


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8877", "127.0.0.1.evil.example", "localhost.evil.example", "0.0.0.0", ""),
        *(
            "192.168.0.7",
            "127.0.0.1@evil.example",
            "evil.example#127.0.0.1",
            "localhost:80:90",
            "[::1",
            "::1",
            "10.0.0.1",
        ),
    ],
)
def test_another_name_is_refused_so_that_no_site_can_take_this_server_for_its_own(full: Client, host: str) -> None:
    status, _, text = full.ask("/", Host=host)
    assert 421 == status
    assert "kernel" not in text


def raw(port: int, question: str) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(question.encode())
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


@pytest.mark.parametrize(
    ("question", "status"),
    [
        ("GET / HTTP/1.1\r\n\r\n", 421),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 421),
        ("GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET //evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        ("nonsense\r\n\r\n", 400),
    ],
)
def test_a_question_that_is_not_for_this_server_is_refused(full: Client, question: str, status: int) -> None:
    assert f" {status} " in raw(full.port, question).splitlines()[0] or str(status) in raw(full.port, question)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_nothing_can_be_changed(full: Client, method: str) -> None:
    status, headers, _ = full.ask("/", method)
    assert (405, "GET, HEAD") == (status, headers["Allow"])


def test_head_says_what_get_would_without_the_page(full: Client) -> None:
    status, headers, text = full.ask("/", "HEAD")
    got = full.ask("/")[1]
    assert (200, "") == (status, text)
    assert (got["ETag"], got["Content-Length"]) == (headers["ETag"], headers["Content-Length"])


@pytest.mark.parametrize("path", ["/", "/nothing.html"])
def test_every_answer_keeps_other_sites_and_scripts_out(full: Client, path: str) -> None:
    headers = full.ask(path)[1]
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "same-origin" == headers["Cross-Origin-Resource-Policy"]
    assert "nosniff" == headers["X-Content-Type-Options"]
    assert not any(name.startswith("Access-Control") for name in headers)


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/runs/..%2f..%2fetc", "/kernels/0123456789ab", "/tasks/x-2.html", "/runs/index-9.html"],
)
def test_a_page_that_is_none_is_not_found(full: Client, path: str) -> None:
    status, _, text = full.ask(path)
    assert 404 == status
    assert "root:" not in text


def test_a_runs_page_follows_what_another_connection_records(tmp_path: Path) -> None:
    recording, store = Recording(tmp_path), tmp_path / "store.sqlite"
    with answering(store, tmp_path / "none", cache=tmp_path / "cache") as client:
        assert "No recorded runs" in client.page("/")
        recording.append(store, 2)
        page = f"/runs/{recording.run}.html"
        assert "the Coder writes" in client.page(page)
        assert "cut off or running" in client.page("/runs/index.html")
        recording.append(store, 4)
        assert 'class="tag good">Verified' in client.page(page)
        recording.append(store, len(recording.events))
        text = client.page(page)
        assert text.count("<strong>Round") == 7
        assert "ended: " in text
        assert "accepted" in client.page("/")


def test_a_store_put_in_anothers_place_is_read_anew(tmp_path: Path) -> None:
    recording, store = Recording(tmp_path), tmp_path / "store.sqlite"
    recording.append(store, 5)
    with answering(store, cache=tmp_path / "cache") as client:
        assert recording.run in client.page("/runs/index.html")
        for path in tmp_path.glob("store.sqlite*"):
            path.unlink()
        assert recording.run not in client.page("/runs/index.html")
        Store.open(store).close()
        assert "0 recorded" in client.page("/runs/index.html")


def test_a_store_that_cannot_be_read_says_what_to_do_and_the_server_lives_on(tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite"
    store.write_bytes(b"no database at all" * 100)
    with answering(store, cache=tmp_path / "cache") as client:
        status, headers, text = client.ask("/")
        assert (503, "2") == (status, headers["Retry-After"])
        assert "warpsmith store export" in text
        store.unlink()
        assert "No accepted kernels" in client.page("/")


def test_a_kernel_that_is_edited_while_it_is_shown_leaves_the_ranking(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store.sqlite") as store:
        record(store, tmp_path / "library")
    clock = [0.0]
    library = tmp_path / "library"
    answers = Answers(
        lambda: read_shelf([library], tmp_path / "cache"), tmp_path / "store.sqlite", clock=lambda: clock[0]
    )
    best = digest_of(library, BEST)
    try:
        assert answers.page(f"kernels/{best}.html")
        with (library / "spconv_forward" / best / "kernel.cu").open("a") as file:
            file.write("// faster\n")
        clock[0] += 10
        assert answers.page(f"kernels/{best}.html") is None
        front = answers.page("index.html")
        assert front
        assert "was changed after it was accepted" in front.body.decode()
    finally:
        answers.close()


def test_a_port_that_is_taken_is_named_with_a_remedy(tmp_path: Path) -> None:
    def nothing() -> Answers:
        return Answers(Shelf, tmp_path / "none")

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SettingsError, match=r"is taken.*--port 0"), serve(nothing, taken.getsockname()[1]):
            pass


def test_the_command_serves_until_it_is_interrupted_and_leaves_quietly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "warpsmith", "serve", "--port", "0", "--store", str(tmp_path / "store.sqlite")]
    environment = {**os.environ, "WARPSMITH_CACHE": str(tmp_path / "cache")}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path
    )
    try:
        assert process.stdout
        found = re.match(r"http://127\.0\.0\.1:(\d+)/ shows", process.stdout.readline())
        assert found
        idle = socket.create_connection(("127.0.0.1", int(found[1])))  # as a browser keeps one open
        assert "Verified GPU kernels" in Client(int(found[1])).page("/")
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        idle.close()
    finally:
        process.kill()
        process.wait()
    assert 0 == process.returncode
    assert "Traceback" not in errors
    assert "ended" in errors
