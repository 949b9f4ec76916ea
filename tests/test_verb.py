"""How a command speaks to what reads it, whatever that can show, and ends."""

import io
import sys

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
