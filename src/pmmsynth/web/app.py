"""The web server of a reading study: what it knows, what it answers."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from pmmsynth.study.files import read_study
from pmmsynth.study.ledger import Closed, Incomplete, Ledger, Locked, NotKept, Overtaken, utc_now
from pmmsynth.web import api, pages
from pmmsynth.web.guard import HEADERS, Guard, refused
from pmmsynth.web.images import check_images
from pmmsynth.web.serving import Serving
from pmmsynth.web.sessions import Refusals, Sessions


def create_app(folder: Path, now: Callable[[], datetime] = utc_now) -> FastAPI:
    """The application for a study.

    Args:
        folder: What `pmmsynth reading create` made.
        now: The clock.

    Raises:
        BadInput: If the study is damaged or its files tell what is real.
        NotKept: If reports cannot be written there.
    """
    record = read_study(folder)
    check_images(folder, record)
    ledger = Ledger(folder, now)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        ledger.close_connections()

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=lifespan)
    app.state.serving = Serving(folder, record, ledger, now, Sessions(now), Refusals(now))
    app.include_router(pages.router)
    app.include_router(api.router)
    app.mount("/static", StaticFiles(directory=str(pages.STATIC)))
    app.add_middleware(Guard)
    for error, status in ((Locked, 409), (Closed, 409), (Overtaken, 412), (Incomplete, 422), (NotKept, 507)):
        app.add_exception_handler(error, _telling(status))
    app.add_exception_handler(Exception, _fault)
    return app


def _telling(status: int) -> Callable[[Request, Exception], JSONResponse]:
    return lambda _, error: refused(status, str(error))


def _fault(_: Request, __: Exception) -> JSONResponse:
    """It is answered outside of the guard."""
    return refused(500, "found a fault of the program; expected none; tell the organiser", HEADERS)
