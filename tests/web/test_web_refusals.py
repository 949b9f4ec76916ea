"""What the server refuses, and that a refusal tells nothing and changes nothing."""

import asyncio
import json
import random
from collections.abc import Iterator
from urllib.parse import quote, unquote

import pytest
from starlette.testclient import TestClient
from web_study import REPORT, Served, place, submit

from pmmsynth.study.ledger import BLANK, Draft
from pmmsynth.web.guard import HEADERS, LARGEST_BODY
from pmmsynth.web.sessions import ADDRESSES, IDLE, REFUSALS, SESSIONS_EACH, WINDOW, Refusals, Sessions
from study_phantoms import SEQUENCES, tokens

JSON = {"Content-Type": "application/json"}
NOTHING = b'{"detail":"Not Found"}'


@pytest.fixture
def reader(served: Served) -> TestClient:
    return served.client("R1")


def changes(at: str) -> list[tuple[str, str]]:
    return [("PUT", f"{at}/report"), ("POST", f"{at}/submit"), ("POST", "/api/actions")]


def kept(served: Served) -> tuple[object, ...]:
    """All that a refused change could have changed."""
    items = [item.id for reader in served.record.readers for item in reader.items]
    return [served.ledger.draft(item) for item in items], served.ledger.reports(), served.ledger.closed


def test_nobody_gets_anything_without_signing_in(served: Served) -> None:
    at = place(served.client("R1"))
    before = kept(served), served.ledger.audit()
    for cookie in ("", "session=", "session=0123", f"session={tokens()['R1']}"):
        client = served.client()
        headers = {"Cookie": cookie}
        answers = [client.get(path, headers=headers) for path in ("/api/progress", f"{at}/report", f"{at}/T1.nii")]
        answers += [client.request(method, path, json=REPORT, headers=headers) for method, path in changes(at)[:2]]
        answers.append(client.post("/api/actions", json={"action": "pause"}, headers=headers))
        for wrong in (b"{", b'{"type": "unknown"}', b" " * (LARGEST_BODY + 1)):
            answers += [client.request(*change, content=wrong, headers={**JSON, **headers}) for change in changes(at)]
        assert [answer.status_code for answer in answers] == [401] * 15
        assert len({answer.content for answer in answers}) == 1
        assert 'action="/signin"' in client.get("/", headers=headers).text
    assert (kept(served), served.ledger.audit()) == before


def test_tokens_open_sessions_of_their_owner_only(served: Served) -> None:
    client = served.client()
    for content in ({"data": {"token": "R1"}}, {"data": {}}, {"json": {"token": ["x"]}}, {"content": b"\xff%"}):
        answer = client.post("/signin", **content)  # type: ignore[arg-type]
        assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
        assert "This token is not known" in answer.text
    for digest in (served.record.organiser, served.record.readers[0].token):
        assert client.post("/signin", data={"token": digest}).status_code == 401, "a digest is no token"
    for who in ("R1", "R2"):
        assert served.client(who).get("/api/progress").json()["reader"] == who
    assert served.client().post("/signin", json={"token": tokens()["R1"]}).status_code == 303


def test_the_cookie_is_no_token_and_is_not_given_away(served: Served) -> None:
    answers = [served.client().post("/signin", data={"token": tokens()["R1"]}) for _ in range(2)]
    names = set()
    for answer in answers:
        name, *marks = answer.headers["set-cookie"].split("; ")
        assert sorted(marks) == ["HttpOnly", "Path=/", "SameSite=strict"]
        names.add(name)
        assert answer.headers["location"] == "/"
    assert len(names) == 2
    assert all(len(name) > 40 and tokens()["R1"] not in name for name in names)
    secure = TestClient(served.app, base_url="https://testserver", follow_redirects=False)
    assert "; Secure" in secure.post("/signin", data={"token": tokens()["R1"]}).headers["set-cookie"]


def test_a_session_ends(served: Served) -> None:
    client = served.client("R1")
    cookie = {"Cookie": f"session={client.cookies['session']}"}
    served.wait(hours=11)
    assert client.get("/api/progress").status_code == 200
    served.wait(hours=11)
    assert client.get("/api/progress").status_code == 200, "idle is since the last request"
    client.post("/signout")
    assert served.client().get("/api/progress", headers=cookie).status_code == 401
    client = served.client("R1")
    served.wait(hours=12, seconds=1)
    assert client.get("/api/progress").status_code == 401


def test_wrong_tokens_make_wait(served: Served) -> None:
    client = served.client()
    for _ in range(REFUSALS):
        assert client.post("/signin", data={"token": "guess"}).status_code == 401
    for token in ("guess", tokens()["R1"]):
        answer = client.post("/signin", data={"token": token})
        assert (answer.status_code, "set-cookie" in answer.headers) == (429, False)
        assert "Too many wrong tokens" in answer.text
    assert len(served.ledger.audit()) == REFUSALS, "what is refused unseen does not fill the disk"
    served.wait(minutes=15)
    assert client.post("/signin", data={"token": tokens()["R1"]}).status_code == 303


def test_half_a_character_is_a_wrong_token(served: Served) -> None:
    client, half = (
        served.client(),
        {"content": rb'{"token": "\ud800"}', "headers": {"Content-Type": "application/json"}},
    )
    answers = [client.post("/signin", **half) for _ in range(REFUSALS + 1)]  # type: ignore[arg-type]
    assert [answer.status_code for answer in answers] == [401] * REFUSALS + [429]
    assert [line.action for line in served.ledger.audit()] == ["refused sign in"] * REFUSALS


def test_memory_of_strangers_is_bounded(served: Served) -> None:
    refusals, sessions = Refusals(served.now), Sessions(served.now)
    for number in range(3 * ADDRESSES):
        refusals.add(f"address {number}")
    assert len(refusals._counts) == ADDRESSES
    for _ in range(REFUSALS):
        assert not refusals.too_many("one")
        refusals.add("one")
    assert refusals.too_many("one")
    assert not refusals.too_many("another")
    served.wait(seconds=WINDOW.total_seconds())
    assert not refusals.too_many("one")
    names = [sessions.open("R1") for _ in range(3 * SESSIONS_EACH)]
    other = sessions.open("R2")
    assert [name for name in names if sessions.who(name)] == names[-SESSIONS_EACH:]
    assert sessions.who(other) == "R2"
    served.wait(seconds=IDLE.total_seconds() + 1)
    assert sessions.who(other) is None
    assert other not in sessions._open


def test_items_of_others_are_nothing(served: Served, reader: TestClient) -> None:
    """The same answer, whether an item is another's, comes later, was before or never was."""
    submit(reader)
    other = served.client("R2")
    submit(other)
    mine, theirs = ([item.id for item in r.items] for r in served.record.readers)
    before = kept(served), served.ledger.audit()
    answers = []
    for item in (theirs[0], theirs[1], theirs[9], mine[2], mine[9], "never", served.record.readers[0].items[1].images):
        answers += [reader.get(f"/api/items/{item}/{s}.nii") for s in SEQUENCES]
        answers.append(reader.get(f"/api/items/{item}/report"))
        answers.append(reader.put(f"/api/items/{item}/report", json=REPORT))
        answers.append(reader.post(f"/api/items/{item}/submit", json=REPORT))
    answers += [reader.get(f"/api/items/{mine[0]}/report"), reader.get(f"/api/items/{mine[0]}/T1.nii")]
    assert {answer.status_code for answer in answers} == {404}
    assert {answer.content for answer in answers} == {NOTHING} == {reader.get("/nowhere").content}
    assert len({str(sorted(answer.headers.items())) for answer in answers}) == 1
    assert (kept(served), served.ledger.audit()) == before


def test_a_report_is_submitted_once(served: Served, reader: TestClient) -> None:
    at = place(reader)
    submit(reader)
    before = kept(served), served.ledger.audit()
    again = {**REPORT, "findings": "changed my mind"}
    assert [reader.request(*change, json=again).status_code for change in changes(at)[:2]] == [409, 409]
    assert (kept(served), served.ledger.audit()) == before


def escapes(served: Served) -> Iterator[str]:
    item, images = served.record.readers[0].items[0].id, served.record.readers[0].items[0].images
    ways = ["../study.json", "../../study.json", "../tokens.csv", "../reports.sqlite", "../../../../etc/passwd"]
    ways += [f"../{images}/T1.nii", "../../key/key.json", f"{served.folder}/study.json", f"{served.key}/key.json"]
    for way in ways:
        for written in (way, way.replace("/", "\\"), f"T1.nii/{way}", f"{way}\0.nii", f"./{way}", f"{way}%00.nii"):
            for coded in (written, quote(written, safe=""), quote(quote(written, safe=""), safe="")):
                coded = coded.replace("\0", "%00")
                dots = coded.replace("..", "%2e%2e"), coded.replace("..", "%252e%252e"), coded.replace("..", "....//")
                for tail in (coded, *dots):
                    yield f"/api/items/{item}/{tail}"
                    yield f"/api/items/{tail}/T1.nii"
                    yield f"/static/{tail}"
    yield from (f"/{name}" for name in ("study.json", "tokens.csv", "reports.sqlite", "reports.sqlite-wal", "images"))
    yield from (f"/api/items/{item}/{name}" for name in ("T1", "T1.nii.gz", "t1.nii", ".nii", "T1.nii.nii", "T1.nii "))
    yield from (f"/images/{images}/T1.nii", f"/api/items/{images}/T1.nii", "//etc/passwd", "/static//etc/passwd")


def test_no_path_leads_out(served: Served, reader: TestClient) -> None:
    """Sent as they are: the client must not tidy them."""
    paths = list(escapes(served))
    assert len(paths) > 500
    secrets = [b"organiser", b"root:", b"SQLite", *(token.encode() for token in tokens().values())]
    for path in paths:
        answer = raw(reader, path)
        assert answer[0] in (404, 405), path
        assert not any(secret in answer[1] for secret in secrets), path
    assert raw(reader, f"{place(reader)}/T1.nii")[0] == 200, "the way they are sent works"


def raw(client: TestClient, path: str) -> tuple[int, bytes]:
    """A GET whose path goes to the application as a server would decode it, dots and all."""
    sent: list[dict] = []
    scope = {
        "type": "http",
        "method": "GET",
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"testserver"), (b"cookie", f"session={client.cookies['session']}".encode())],
        "client": ("testclient", 1),
        "server": ("testserver", 80),
        "scheme": "http",
        "http_version": "1.1",
    }

    async def receive() -> dict:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(client.app(scope, receive, send))  # type: ignore[arg-type]
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def test_a_link_put_there_later_is_not_followed(served: Served) -> None:
    client = TestClient(served.app, raise_server_exceptions=False, headers={"X-Requested-With": "pmmsynth"})
    client.post("/signin", data={"token": tokens()["R1"]})
    item = served.record.readers[0].items[0]
    image = served.folder / "images" / item.images / "T1.nii"
    image.unlink()
    image.symlink_to(served.key / "key.json")
    answer = client.get(f"/api/items/{item.id}/T1.nii")
    assert answer.status_code == 500
    assert answer.json() == {"detail": "found a fault of the program; expected none; tell the organiser"}
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS


def test_a_script_in_a_report_is_text(served: Served, reader: TestClient) -> None:
    """It comes back in JSON alone, which no browser runs, and under a policy that runs no script within a page."""
    script = "</textarea><script>alert(1)</script><img src=x onerror=alert(1)>"
    evil = {**REPORT, "findings": script, "impression": script}
    assert reader.put(f"{place(reader)}/report", json=evil).status_code == 204
    answer = reader.get(f"{place(reader)}/report")
    assert answer.json()["findings"] == script
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    for who in ("R1", "organiser"):
        page = served.client(who).get("/")
        assert "alert(1)" not in page.text
        policy = page.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "script-src" not in policy


@pytest.mark.parametrize("length", [LARGEST_BODY + 1, 10**12])
def test_a_body_said_to_be_too_large_is_not_read(served: Served, reader: TestClient, length: int) -> None:
    before = kept(served), served.ledger.audit()
    for method, path in [*changes(place(reader)), ("POST", "/signin")]:
        answer = TestClient(served.app, cookies=dict(reader.cookies)).request(
            method, path, content=b"{}", headers={**JSON, "X-Requested-With": "pmmsynth", "Content-Length": str(length)}
        )
        assert answer.status_code == 413, path
    assert (kept(served), served.ledger.audit()) == before


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"findings": "x" * 20_000}, 204),
        ({"findings": "x" * 20_001}, 422),
        ({"impression": "x" * 20_001}, 422),
        ({"findings": "\N{GRINNING FACE}" * 15_000}, 204),
        ({"type": "", "grade": "", "confidence": 0}, 204),
        ({"type": "unknown"}, 422),
        ({"grade": "glioma"}, 422),
        ({"confidence": 6}, 422),
        ({"confidence": -1}, 422),
        ({"confidence": 2.5}, 422),
        ({"confidence": True}, 422),
        ({"confidence": "3"}, 422),
        ({"findings": None}, 422),
        ({"findings": ["x"]}, 422),
        ({"set": "real"}, 422),
    ],
)
def test_reports_are_checked(served: Served, reader: TestClient, change: dict[str, object], status: int) -> None:
    body = json.dumps({**REPORT, **change}, ensure_ascii=False).encode()
    answer = reader.put(f"{place(reader)}/report", content=body, headers=JSON)
    assert answer.status_code == status
    assert b"xxxx" not in answer.content, "nothing of it comes back"
    assert served.ledger.reports() == []
    if status == 422:
        assert (answer.json()["detail"] == "too long; shorten the text") == (len(body) > 20_000)
        assert served.ledger.draft(served.record.readers[0].items[0].id) is None


def test_bodies_that_are_no_report(reader: TestClient) -> None:
    at = place(reader)
    bodies = [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"findings": "\\ud800"}', b"[" * 60_000, b'{"a":' * 10_000]
    rng = random.Random(0)
    bodies += [rng.randbytes(rng.randrange(200)) for _ in range(100)]
    for body in bodies:
        for method, path in changes(at):
            assert reader.request(method, path, content=body, headers=JSON).status_code == 422


@pytest.mark.parametrize("action", [{}, {"action": "submit"}, {"action": "pause", "detail": "x" * 501}, {"action": 1}])
def test_actions_are_those_of_the_viewer(served: Served, reader: TestClient, action: dict[str, object]) -> None:
    before = served.ledger.audit()
    assert reader.post("/api/actions", json=action).status_code == 422
    assert served.ledger.audit() == before


STRANGE = {
    "no header of ours": ({"X-Requested-With": ""}, 403),
    "another header": ({"X-Requested-With": "XMLHttpRequest"}, 403),
    "foreign origin": ({"Origin": "https://elsewhere.example"}, 403),
    "same name, other port": ({"Origin": "http://testserver:81"}, 403),
    "name that begins alike": ({"Origin": "http://testserver.example"}, 403),
    "half an address": ({"Origin": "http://["}, 403),
    "no origin at all": ({"Origin": "testserver"}, 403),
    "more than an origin": ({"Origin": "http://testserver/"}, 403),
    "page of another site": ({"Sec-Fetch-Site": "cross-site"}, 403),
    "page of another port": ({"Sec-Fetch-Site": "same-site", "Origin": "null"}, 403),
    "form": ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    "text": ({"Content-Type": "text/plain; application/json"}, 415),
    "no type": ({"Content-Type": ""}, 415),
    "file": ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
}


@pytest.mark.parametrize(("headers", "status"), STRANGE.values(), ids=STRANGE)
def test_changes_come_from_our_page_only(
    served: Served, reader: TestClient, headers: dict[str, str], status: int
) -> None:
    before = kept(served), served.ledger.audit()
    body = json.dumps(REPORT).encode()
    for method, path in changes(place(reader)):
        assert reader.request(method, path, content=body, headers={**JSON, **headers}).status_code == status
    assert (kept(served), served.ledger.audit()) == before


@pytest.mark.parametrize("name", ["foreign origin", "page of another site", "page of another port"])
def test_pages_of_others_cannot_sign_anybody_in_or_out(served: Served, reader: TestClient, name: str) -> None:
    headers = STRANGE[name][0]
    answer = reader.post("/signin", data={"token": tokens()["R2"]}, headers=headers)
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
    assert reader.post("/signout", headers=headers).status_code == 403
    assert reader.get("/api/progress").json()["reader"] == "R1"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "null", "Sec-Fetch-Site": "same-origin"},  # a form on a page that sends no referrer
        {"Origin": "null"},  # the same without encryption, beyond this machine
        {"Sec-Fetch-Site": "none"},
        {},
    ],
)
def test_our_own_pages_are_not_taken_for_those_of_others(served: Served, headers: dict[str, str]) -> None:
    assert served.client().post("/signin", data={"token": tokens()["R1"]}, headers=headers).status_code == 303


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND"])
def test_methods_nobody_needs(served: Served, reader: TestClient, method: str) -> None:
    at = place(reader)
    before = kept(served), served.ledger.audit()
    for path in ("/", "/signin", "/api/progress", f"{at}/report", f"{at}/T1.nii", "/static/style.css", "/nowhere"):
        answer = reader.request(method, path, headers={"Origin": "https://elsewhere.example"})
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST, PUT")
        assert not [name for name in answer.headers if name.startswith("access-control")]
    for known, path in (("PUT", "/"), ("POST", f"{at}/report"), ("GET", "/signin"), ("POST", "/static/style.css")):
        assert reader.request(known, path, headers=JSON).status_code == 405
    assert (kept(served), served.ledger.audit()) == before


def test_there_are_no_pages_for_developers(reader: TestClient) -> None:
    for path in ("/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect", "/static/", "/static", "/api", "/api/"):
        assert reader.get(path).content == NOTHING


def test_every_answer_carries_the_headers(served: Served, reader: TestClient) -> None:
    at = place(reader)
    answers = [reader.get(path) for path in ("/", "/api/progress", f"{at}/T1.nii", f"{at}/report", "/nowhere")]
    answers += [served.client().get("/api/progress"), reader.request("DELETE", "/"), reader.post("/api/actions")]
    answers += [reader.put(f"{at}/report", json=REPORT), reader.post("/signout")]
    for answer in answers:
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert not {"server", "last-modified", "x-powered-by"} & set(answer.headers)
    tags = [answer.headers["etag"] for answer in answers if "etag" in answer.headers]
    assert tags == [f'"{BLANK}"', f'"{Draft(**REPORT).revision}"'], "of reports alone, by their text alone"
    assert HEADERS["Cache-Control"] == "no-store, no-transform"
    assert HEADERS["Referrer-Policy"] == "no-referrer"
    assert reader.get("/static/style.css").headers["cache-control"] == "no-cache"
