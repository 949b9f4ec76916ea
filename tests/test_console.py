"""What a person or a machine reads while work goes on."""

import io
import json
import sys
from pathlib import Path

import pytest

from pmmsynth.console import Reporter, clock


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (0.4, "0:00"),
        (9.6, "0:10"),
        (59.6, "1:00"),
        (61, "1:01"),
        (3599.5, "1:00:00"),
        (3600, "1:00:00"),
        (3725, "1:02:05"),
        (90061, "25:01:01"),
    ],
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_plain_lines(capsys):
    reporter = Reporter(every_seconds=0)
    reporter.say("hello", count=1)
    reporter.warn("careful")
    with reporter.progress("work", 4, done=1) as advance:
        advance("first")
        advance(by=2)
    got = capsys.readouterr()
    lines = got.out.splitlines()
    assert (lines[0], got.err) == ("hello", "careful\n")
    assert lines[1].startswith("work 2/4, 0:00 left  first")
    assert lines[2] == "work 4/4, 0:00 left"


def test_lines_come_now_and_then_and_at_the_end(capsys):
    with Reporter(every_seconds=1000).progress("work", 5) as advance:
        for _ in range(5):
            advance()
    assert capsys.readouterr().out == "work 5/5, 0:00 left\n"


def test_time_left_counts_what_was_done_here(capsys, monkeypatch):
    times = iter([100.0, 120.0])
    monkeypatch.setattr("pmmsynth.console.time.monotonic", lambda: next(times))
    with Reporter().progress("work", 100, done=90) as advance:
        advance(by=2)
    assert capsys.readouterr().out == "work 92/100, 1:20 left\n"


def test_quiet_says_only_what_is_wrong(capsys):
    reporter = Reporter(quiet=True, every_seconds=0)
    reporter.say("hello")
    with reporter.progress("work", 1) as advance:
        advance()
    reporter.warn("careful")
    reporter.remark("by the way")
    got = capsys.readouterr()
    assert (got.out, got.err) == ("", "careful\n")
    Reporter().remark("by the way")
    assert capsys.readouterr().err == "by the way\n"


def test_json_lines_are_json_whatever_they_hold(capsys):
    reporter = Reporter(as_json=True, every_seconds=0)
    reporter.say("two\nlines", place=Path("a"), psnr=float("inf"), loss=float("nan"), best=1.5, names=("ä",))
    reporter.warn("careful", case="x")
    Reporter(as_json=True, quiet=True).remark("by the way")
    with reporter.progress("work", 1) as advance:
        advance("note")
    got = capsys.readouterr()

    def refuse(token):
        raise AssertionError(f"{token} is not JSON")

    said = [json.loads(line, parse_constant=refuse) for line in got.out.splitlines()]
    assert said[0] == {
        "message": "two\nlines",
        "place": "a",
        "psnr": None,
        "loss": None,
        "best": 1.5,
        "names": ["ä"],
    }
    assert said[1:3] == [{"warning": "careful", "case": "x"}, {"warning": "by the way"}]
    assert (said[3]["stage"], said[3]["done"], said[3]["total"], said[3]["seconds_left"]) == ("work", 1, 1, 0)
    assert got.err == ""


def test_a_terminal_gets_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Reporter().progress("work", 2) as advance:
        advance("first")
        advance("second")
    assert "work" in terminal.getvalue()
    assert "2/2" in terminal.getvalue()
