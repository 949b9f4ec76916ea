"""The server as a process of its own: what it says, how it ends, what outlives its sudden death."""

import json
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from web_study import REPORT, place, submit

from pmmsynth.cli import main
from pmmsynth.console import Reporter
from pmmsynth.study.ledger import Draft, Ledger
from study_phantoms import make_study, tokens


@pytest.fixture
def study(tmp_path: Path) -> Path:
    make_study(tmp_path / "study", tmp_path / "key")
    return tmp_path / "study"


@contextmanager
def serving(study: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server, and its address once it listens."""
    command = [sys.executable, "-m", "pmmsynth", "reading", "serve", str(study), "--port", "0", "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            line = json.loads(process.stdout.readline())
            while "address" not in line:
                line = json.loads(process.stdout.readline())
            yield process, line["address"]
        finally:
            process.kill()


@contextmanager
def browser(address: str, who: str) -> Iterator[httpx2.Client]:
    """One that is signed in."""
    with httpx2.Client(base_url=address, headers={"X-Requested-With": "pmmsynth"}, timeout=30) as client:
        assert client.post("/signin", data={"token": tokens()[who]}).status_code == 303
        yield client


@pytest.mark.slow
def test_what_was_answered_outlives_a_kill(study: Path) -> None:
    """Killed right after the answer: a draft is there, a submitted report is, and the next start goes on with them."""
    rng = random.Random(0)
    items = []
    for number in range(5):
        words = {**REPORT, "findings": f"{number} " + "x" * rng.randrange(20_000)}
        with serving(study) as (process, address):
            with browser(address, "R1") as client:
                at = place(client)
                began = {"If-Match": client.get(f"{at}/report").headers["etag"]}
                if number % 2:
                    assert client.post(f"{at}/submit", json=words, headers=began).status_code == 200
                else:
                    assert client.put(f"{at}/report", json=words, headers=began).status_code == 204
                process.send_signal(signal.SIGKILL)
            assert process.wait(10) == -signal.SIGKILL
        items.append(at.rpartition("/")[2])
        with Ledger(study) as ledger:
            assert ledger.draft(items[-1]) == Draft(**words)
            assert len(ledger.submitted("R1")) == (number + 1) // 2
    assert items[0] == items[1] != items[2] == items[3] != items[4]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_told_to(study: Path, number: int) -> None:
    with serving(study) as (process, address), browser(address, "R1") as client:
        submit(client)
        process.send_signal(number)
        out, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")
        assert [json.loads(line) for line in out.splitlines()] == [{"message": "stopped"}]
    assert not (study / "reports.sqlite-wal").exists(), "all is in one file again"
    with Ledger(study) as ledger:
        assert len(ledger.reports()) == 1


@pytest.mark.slow
def test_answers_over_a_socket(study: Path) -> None:
    """What only a real server shows: no name of it, no compression, the same length, and no waiting for bodies."""
    with serving(study) as (_, address), browser(address, "R1") as client:
        at = place(client)
        images = [client.get(f"{at}/{s}.nii", headers={"Accept-Encoding": "gzip"}) for s in ("T1", "ADC")]
        for image in images:
            assert image.headers["content-length"] == str(len(image.content)) == str(352 + 2 * 24 * 24 * 6)
            assert not {"server", "content-encoding", "transfer-encoding"} & set(image.headers)
        host, port = address.removeprefix("http://").split(":")
        cookie = f"Cookie: session={client.cookies['session']}"
        head = f"PUT {at}/report HTTP/1.1\r\nHost: {host}:{port}\r\n{cookie}\r\nX-Requested-With: pmmsynth\r\n"
        head += "Content-Type: application/json\r\n"
        for length in ("Content-Length: 1000000000\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n" + chunks(70_000)):
            assert answer_of(host, int(port), head + length).startswith("HTTP/1.1 413 ")
        assert answer_of(host, int(port), head + "Content-Length: x\r\n\r\n").startswith("HTTP/1.1 400 ")
        for path in ("/../study.json", "/static/../../../study.json", "/..%2f..%2fetc/passwd", "/static/%00"):
            answer = answer_of(host, int(port), f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{cookie}\r\n\r\n")
            assert answer.startswith("HTTP/1.1 404 "), path
        assert client.get(f"{at}/report").status_code == 200


@pytest.mark.slow
def test_the_end_is_seen_by_a_server_that_runs(study: Path) -> None:
    with serving(study) as (_, address), browser(address, "R1") as client:
        at = place(client)
        assert client.put(f"{at}/report", json=REPORT).status_code == 204
        with Ledger(study) as ledger:
            ledger.close_study()
        for answer in (client.put(f"{at}/report", json=REPORT), client.post(f"{at}/submit", json=REPORT)):
            assert answer.status_code == 409
            assert "study that has ended" in answer.json()["detail"]
        assert client.get("/api/progress").json()["closed"] is True


def chunks(size: int) -> str:
    """A body in chunks that has no end."""
    return "".join(f"400\r\n{'x' * 1024}\r\n" for _ in range(size // 1024 + 1))


def answer_of(host: str, port: int, request: str) -> str:
    """What comes before the server hangs up, or waits for more."""
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall(request.encode())
        return connection.recv(65536).decode()


@pytest.mark.slow
def test_beyond_this_machine_it_warns(study: Path) -> None:
    command = [sys.executable, "-m", "pmmsynth", "reading", "serve", str(study), "--port", "0", "--host", "0.0.0.0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline().startswith("serving at http://0.0.0.0:")
            process.terminate()
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert "WARNING: listening at 0.0.0.0, beyond this machine, WITHOUT ENCRYPTION" in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_before_it_has_begun_it_stops(
    number: int, study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    say, handlers = Reporter.say, {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}

    def say_and_tell(reporter: Reporter, text: str, **facts: object) -> None:
        say(reporter, text, **facts)
        if "address" in facts:
            signal.raise_signal(number)

    monkeypatch.setattr(Reporter, "say", say_and_tell)
    try:
        assert main(["reading", "serve", str(study), "--port", "0"]) == 0
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    assert capsys.readouterr().out.endswith("stopped\n")


def test_what_cannot_be_served_is_told(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["reading", "serve", str(study), "--port", port]) == 2
    assert f"found no way to listen at 127.0.0.1 port {port}" in capsys.readouterr().err
    assert main(["reading", "serve", str(study), "--host", "no.such.host.invalid", "--port", "0"]) == 2
    assert main(["reading", "serve", str(study), "--port", "70000"]) == 2
    capsys.readouterr()
    (tmp_path / "empty").mkdir()
    assert main(["reading", "serve", str(tmp_path / "empty")]) == 4
    assert "no study.json" in capsys.readouterr().err
    assert list((tmp_path / "empty").iterdir()) == []
