"""The pages: signing in, reading, and what the organiser sees."""

import json
from importlib.resources import files
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from pmmsynth.study.files import ORGANISER
from pmmsynth.study.ledger import NO_FINDINGS, NO_IMPRESSION
from pmmsynth.web.guard import body_of
from pmmsynth.web.serving import COOKIE, Served, Serving, SignedIn

STATIC = files("pmmsynth.web") / "static"
router = APIRouter()
_templates = Environment(loader=PackageLoader("pmmsynth.web"), autoescape=True, undefined=StrictUndefined)


async def _token(request: Request, body: Annotated[bytes, Depends(body_of)]) -> str:
    """The field of a form, or of JSON; empty if there is none."""
    try:
        text = body.decode()
        if request.headers.get("content-type", "").startswith("application/json"):
            token = json.loads(text)["token"]
        else:
            token = parse_qs(text, max_num_fields=10)["token"][0]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return token if isinstance(token, str) else ""


@router.get("/")
def home(who: SignedIn, serving: Served) -> HTMLResponse:
    """The page for whoever asks."""
    if who is None:
        return _page("signin.html", serving, error="")
    if who != ORGANISER:
        return _page("reading.html", serving, no_findings=NO_FINDINGS, no_impression=NO_IMPRESSION)
    last = serving.ledger.last_seen()
    shown = ("sitting", "sittings", "done", "total", "finished", "opens")  # nothing of what is written or seen
    rows = []
    for reader in serving.record.readers:
        progress = serving.progress(reader)
        row = {name: getattr(progress, name) for name in shown}
        rows.append({"reader": reader.code, "last": last.get(reader.code), **row})
    return _page("organiser.html", serving, readers=rows, closed=serving.ledger.closed)


@router.post("/signin")
def sign_in(request: Request, token: Annotated[str, Depends(_token)], serving: Served) -> Response:
    """Give a session for a token."""
    address = request.client.host if request.client else ""
    if serving.refusals.too_many(address):
        error = "Too many wrong tokens came from this place. Wait a quarter of an hour, then try again."
        return _page("signin.html", serving, 429, error=error)
    who = serving.owner(token)
    if who is None:
        serving.refusals.add(address)
        serving.ledger.log("", "refused sign in", detail=address)
        error = "This token is not known. Copy it whole, as the organiser gave it to you."
        return _page("signin.html", serving, 401, error=error)
    serving.ledger.log(who, "sign in")
    answer = RedirectResponse("/", 303)
    answer.set_cookie(
        COOKIE,
        serving.sessions.open(who),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/signout")
def sign_out(request: Request, who: SignedIn, serving: Served) -> Response:
    """End the session."""
    if who is not None:
        serving.sessions.close(request.cookies[COOKIE])
        serving.ledger.log(who, "sign out")
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def _page(name: str, serving: Serving, status: int = 200, **facts: object) -> HTMLResponse:
    return HTMLResponse(_templates.get_template(name).render(title=serving.record.title, **facts), status)
