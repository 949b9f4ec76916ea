"""What every request must meet and every answer carries, whatever it is about."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 64 * 1024
HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'self'",
            "img-src 'self' data:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store, no-transform",  # compressed by a proxy, a smooth image would be shorter
}
"""Of every answer."""


class Guard:
    """Refuses what no page of ours sends, before anything else looks at it.

    Pages of others can send forms with their own origin, but neither JSON nor a header of their own without being
    asked (OPTIONS) for leave, which is not given.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                if scope["path"].startswith("/static/"):
                    headers["Cache-Control"] = "no-cache"  # kept, but asked for: it is the same for everybody
            await send(message)

        answer = _refusal(scope) if scope["type"] == "http" else None
        await (answer or self._app)(scope, receive, marked)


def refused(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An answer in the form of all refusals."""
    return JSONResponse({"detail": message}, status, headers)


async def body_of(request: Request) -> bytes:
    """The body, of which no more is read than may be there."""
    too_large = HTTPException(413, f"found a body too large; expected at most {LARGEST_BODY} bytes; shorten it")
    if int(request.headers.get("content-length", 0)) > LARGEST_BODY:  # the server itself refuses what is no number
        raise too_large
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise too_large
    return body


def _refusal(scope: Scope) -> JSONResponse | None:
    headers = Headers(scope=scope)
    if scope["method"] not in ("GET", "POST", "PUT"):
        return refused(405, "Method Not Allowed", {"Allow": "GET, POST, PUT"})
    if scope["method"] == "GET":
        return None
    if _foreign(headers):
        return refused(403, "found a request of another site's page; expected one of ours; open the page anew")
    if scope["path"].startswith("/api/"):
        if headers.get("x-requested-with") != "pmmsynth":
            return refused(403, "found no header X-Requested-With: pmmsynth; expected it; open the page anew")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return refused(415, "found another content type; expected application/json; open the page anew")
    return None


def _foreign(headers: Headers) -> bool:
    """Whether the browser says that a page of another origin asks.

    It says `null` for forms of our own pages, which send no referrer; of strangers the other header tells. What else it
    says is a scheme and a host, and nothing is read out of it: strangers may send anything.
    """
    origin = headers.get("origin", "null")
    return headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none") or (
        origin != "null" and origin.partition("://")[2] != headers.get("host")
    )
