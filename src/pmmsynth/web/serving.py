"""What a request needs to know: the study, and who asks."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

from fastapi import Depends, HTTPException, Request

from pmmsynth.study.files import ORGANISER, Reader, StudyRecord, token_digest
from pmmsynth.study.ledger import Ledger
from pmmsynth.study.progress import Progress, progress
from pmmsynth.web.sessions import Refusals, Sessions

COOKIE = "session"


@dataclass(frozen=True)
class Serving:
    """A study that is being served.

    Attributes:
        folder: Of the study.
        record: What it consists of.
        ledger: What happens in it.
        now: The clock.
        sessions: Who is signed in.
        refusals: Who was refused.
    """

    folder: Path
    record: StudyRecord
    ledger: Ledger
    now: Callable[[], datetime]
    sessions: Sessions
    refusals: Refusals

    def owner(self, token: str) -> str | None:
        """Whose token it is."""
        owners = {reader.token: reader.code for reader in self.record.readers} | {self.record.organiser: ORGANISER}
        return owners.get(token_digest(token))

    def reader(self, code: str | None) -> Reader | None:
        """The reader with this code."""
        return next((reader for reader in self.record.readers if reader.code == code), None)

    def progress(self, reader: Reader) -> Progress:
        """Where a reader stands now."""
        return progress(self.record, self.ledger, reader, self.now())


async def _serving(request: Request) -> Serving:
    return request.app.state.serving


Served = Annotated[Serving, Depends(_serving)]


async def _signed_in(request: Request, serving: Served) -> str | None:
    return serving.sessions.who(request.cookies.get(COOKIE, ""))


SignedIn = Annotated[str | None, Depends(_signed_in)]


async def only_readers(who: SignedIn, serving: Served) -> Reader:
    """The reader who asks; nobody else gets on."""
    if reader := serving.reader(who):
        return reader
    raise HTTPException(401, "found nobody signed in as a reader; expected a reader; sign in")


OnlyReaders = Annotated[Reader, Depends(only_readers)]
