"""How a command speaks to what reads it, whatever that can show, and ends."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from pmmsynth.console import Reporter
from pmmsynth.verb import ending


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", b"M\\xfcller in \\udcfc\n"),
        ("latin-1", b"M\xfcller in \\udcfc\n"),
        ("utf-8", b"M\xc3\xbcller in \\udcfc\n"),
    ],
)
def test_a_name_that_cannot_be_shown_does_not_end_the_work(
    monkeypatch: pytest.MonkeyPatch, encoding: str, shown: bytes
) -> None:
    """The second name is that of a folder whose bytes are no UTF-8."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    assert ending(lambda: Reporter().say("Müller in \udcfc")) == 0
    assert written.getvalue() == shown


WORK = """
import sys
from pathlib import Path
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput
from pmmsynth.verb import ending

def work():
    input()
    reporter = Reporter(every_seconds=0)
    with reporter.progress("work", 2) as advance:
        for number in range(2):
            advance(str(number))
            reporter.warn("careful")
    Path(sys.argv[1]).write_text("done")
    raise BadInput("a", "b", "c")

sys.exit(ending(work))
"""


@pytest.mark.parametrize("gone", ["stdout", "stderr"])
def test_work_goes_on_when_nobody_reads_what_it_says(tmp_path: Path, gone: str) -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", WORK, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        getattr(process, gone).close()  # as head does, or a viewer that is killed
        setattr(process, gone, None)
        out, err = process.communicate("go on\n", timeout=60)
    assert (process.returncode, (tmp_path / "out").read_text()) == (4, "done")
    if gone == "stdout":
        assert err.splitlines() == ["careful", "careful", "pmmsynth: found a; expected b; c"]
    else:
        assert out.splitlines() == ["work 1/2, 0:00 left  0", "work 2/2, 0:00 left  1"]
