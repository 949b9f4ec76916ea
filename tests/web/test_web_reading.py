"""A reader on the server: one item at a time, to the end of the study, and what is kept of it."""

import html
import os
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from web_study import REPORT, Served, place, submit

from no_room import files_up_to
from pmmsynth.errors import BadInput
from pmmsynth.study.files import IMAGES
from pmmsynth.study.ledger import REPORTS, Draft
from pmmsynth.web.app import create_app
from study_phantoms import SEQUENCES, tokens

EMPTY = {"findings": "", "type": "", "grade": "", "impression": "", "confidence": 0}


def test_a_reader_reports_the_whole_study(served: Served) -> None:
    reader, client = served.record.readers[0], served.client("R1")
    for number, sitting in enumerate(reader.sittings, 1):
        for done, item in enumerate(sitting, 4 * (number - 1)):
            standing = client.get("/api/progress").json()
            assert standing == {
                "reader": "R1",
                "sitting": number,
                "sittings": 4,
                "done": done,
                "total": 16,
                "current": item.id,
                "opens": None,
                "finished": False,
                "closed": False,
                "sequences": list(SEQUENCES),
                "types": ["glioma", "metastasis", "no tumour"],
                "grades": ["low", "high"],
                "title": "Phantoms",
            }
            for sequence in SEQUENCES:
                image = client.get(f"/api/items/{item.id}/{sequence}.nii")
                assert image.content == (served.folder / IMAGES / item.images / f"{sequence}.nii").read_bytes()
            assert client.get(f"/api/items/{item.id}/report").json() == EMPTY
            words = {**REPORT, "findings": f"Item {item.id}."}
            standing = client.post(f"/api/items/{item.id}/submit", json=words).json()
            assert standing == client.get("/api/progress").json()
            assert served.ledger.draft(item.id) == Draft(**words)
        if number < 4:
            assert standing["current"] is None
            assert standing["opens"] == (served.time + timedelta(days=14)).isoformat().replace("+00:00", "Z")
            ahead = reader.sittings[number][0].id
            assert client.get(f"/api/items/{ahead}/T1.nii").status_code == 404
            served.wait(days=14)
            client = served.client("R1")  # nobody stays signed in for so long
    assert (standing["done"], standing["current"], standing["finished"]) == (16, None, True)
    assert client.get("/").status_code == 200


def test_the_next_item_opens_when_the_one_before_is_submitted(served: Served) -> None:
    first, second = (item.id for item in served.record.readers[0].items[:2])
    client = served.client("R1")
    assert client.get(f"/api/items/{second}/T1.nii").status_code == 404
    assert submit(client)["current"] == second
    assert client.get(f"/api/items/{second}/T1.nii").status_code == 200
    assert client.get(f"/api/items/{first}/T1.nii").status_code == 404
    assert client.get(f"/api/items/{first}/report").status_code == 404


def test_drafts_are_kept_from_sign_in_to_sign_in(served: Served) -> None:
    client = served.client("R1")
    assert client.put(f"{place(client)}/report", json=REPORT).status_code == 204
    assert client.post("/signout").status_code == 303
    assert client.get("/api/progress").status_code == 401
    client = served.client("R1")
    assert client.get(f"{place(client)}/report").json() == REPORT


NEWER = {"detail": "found a newer text than this page began from; expected none; choose between the two"}


def test_two_tabs_of_a_reader(served: Served) -> None:
    """Both write the same draft, but never over what they have not seen; what one has submitted stays."""
    one, other = served.client("R1"), served.client("R1")
    at = place(one)
    long, short = {**REPORT, "findings": "An hour of work."}, {**EMPTY, "findings": "x"}
    began = [client.get(f"{at}/report").headers["etag"] for client in (one, other)]
    assert began[0] == began[1]
    saved = one.put(f"{at}/report", json=long, headers={"If-Match": f"W/{began[0]}"})  # as a proxy may pass it on
    assert saved.status_code == 204
    for headers in ({"If-Match": began[1]}, {"If-Match": "*"}, {}):
        for method, path in (("PUT", f"{at}/report"), ("POST", f"{at}/submit")):
            answer = other.request(method, path, json={**short, "type": "glioma"}, headers=headers)
            assert (answer.status_code, answer.json()) == (412, NEWER)
    seen = other.get(f"{at}/report")
    assert (seen.json(), seen.headers["etag"]) == (long, saved.headers["etag"])
    assert other.put(f"{at}/report", json=short, headers={"If-Match": seen.headers["etag"]}).status_code == 204
    assert one.put(f"{at}/report", json=long, headers={"If-Match": saved.headers["etag"]}).status_code == 412
    seen = one.get(f"{at}/report")
    assert seen.json() == short
    answer = one.post(f"{at}/submit", json=REPORT, headers={"If-Match": seen.headers["etag"]})
    assert (answer.status_code, answer.json()["done"]) == (200, 1)
    late = {**REPORT, "findings": "too late"}
    for answer in (other.put(f"{at}/report", json=late), other.post(f"{at}/submit", json=late)):
        assert answer.status_code == 409
        assert "was submitted" in answer.json()["detail"]
    assert [report.draft for report in served.ledger.reports()] == [Draft(**REPORT)]
    assert place(other) == place(one) != at


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        (EMPTY, "Findings are missing."),
        ({}, "Findings are missing."),
        ({**REPORT, "findings": " \n"}, "Findings are missing."),
        ({"findings": "Mass.", "grade": "high"}, "An impression is missing: choose a type or write it."),
        ({"findings": "Mass.", "impression": " "}, "An impression is missing: choose a type or write it."),
    ],
)
def test_a_report_that_lacks_something_is_not_taken_for_good(
    served: Served, lacking: dict[str, object], words: str
) -> None:
    client = served.client("R1")
    at = place(client)
    answer = client.post(f"{at}/submit", json=lacking)
    assert (answer.status_code, answer.json()) == (422, {"detail": words})
    assert client.get(f"{at}/report").json() == EMPTY
    standing = client.get("/api/progress").json()
    assert (standing["done"], standing["current"]) == (0, at.rpartition("/")[2])
    assert client.put(f"{at}/report", json=lacking).status_code == 204, "a draft may lack anything"
    assert html.escape(words) in client.get("/").text, "the page says the same"


def test_a_text_sent_again_is_taken(served: Served) -> None:
    """As no answer came to the first; what is there already is no other text."""
    client = served.client("R1")
    at = place(client)
    began = {"If-Match": client.get(f"{at}/report").headers["etag"]}
    assert [client.put(f"{at}/report", json=REPORT, headers=began).status_code for _ in range(2)] == [204, 204]
    assert client.post(f"{at}/submit", json=REPORT, headers=began).status_code == 200


def test_a_draft_saved_by_an_earlier_version_is_gone_on_with(served: Served) -> None:
    """Its row is as it was: nothing of a revision is kept."""
    item = served.record.readers[0].items[0].id
    with sqlite3.connect(served.folder / REPORTS) as connection:
        columns = "item, reader, findings, type, grade, impression, confidence"
        connection.execute(f"INSERT INTO drafts ({columns}) VALUES (?, 'R1', 'Mass.', '', '', '', 0)", [item])
    connection.close()
    client = served.client("R1")
    began = client.get(f"/api/items/{item}/report")
    assert began.json() == {**EMPTY, "findings": "Mass."}
    headers = {"If-Match": began.headers["etag"]}
    assert client.put(f"/api/items/{item}/report", json=REPORT, headers=headers).status_code == 204
    assert served.ledger.draft(item) == Draft(**REPORT)


def test_a_study_that_ends_while_it_is_served(served: Served) -> None:
    client = served.client("R1")
    at = place(client)
    client.put(f"{at}/report", json=REPORT)
    served.ledger.close_study()
    for answer in (client.put(f"{at}/report", json=EMPTY), client.post(f"{at}/submit", json=EMPTY)):
        assert answer.status_code == 409
        assert answer.json()["detail"] == ("found a study that has ended; expected one that is open; ask the organiser")
    assert client.get(f"{at}/T1.nii").status_code == 404
    standing = client.get("/api/progress").json()
    assert (standing["closed"], standing["current"], standing["done"]) == (True, None, 0)
    assert served.ledger.draft(at.rpartition("/")[2]) == Draft(**REPORT)


def test_a_full_disk_is_told_and_loses_nothing(served: Served) -> None:
    client = served.client("R1")
    at = place(client)
    began = {"If-Match": client.put(f"{at}/report", json=REPORT).headers["etag"]}
    with files_up_to(1000):
        answers = [client.put(f"{at}/report", json={**REPORT, "findings": "x" * 20_000}, headers=began)]
        answers.append(client.post(f"{at}/submit", json=REPORT))
        answers.append(client.get(f"{at}/report"))  # what cannot be logged does not happen
    assert [answer.status_code for answer in answers] == [507, 507, 507]
    assert "make room" in answers[0].json()["detail"]
    assert client.get(f"{at}/report").json() == REPORT
    assert submit(client)["done"] == 1


def test_the_log_has_every_action(served: Served) -> None:
    client = served.client()
    client.post("/signin", data={"token": "wrong"})
    client = served.client("R1")
    item = place(client).rpartition("/")[2]
    client.get(f"/api/items/{item}/report")
    client.get(f"/api/items/{item}/T1.nii")
    client.put(f"/api/items/{item}/report", json=REPORT)
    viewed = {"pause": "", "resume": "", "window": "T1 300 150", "scroll": "5", "measure": "9 mm"}
    viewed |= {"plane": "coronal", "zoom": "1.25", "pan": "4 0 -2 mm", "point": "45.8 54.2 58.3 %"}
    viewed |= {"crosshair": "hidden", "enlarge": "T2", "reset": "", "unmeasure": ""}
    for action, detail in viewed.items():
        answer = client.post("/api/actions", json={"action": action, "detail": detail})
        assert (answer.status_code, answer.content) == (204, b"")
    submit(client)
    client.post("/signout")
    served.client("organiser")
    served.ledger.close_study()
    log = [line[1:] for line in served.ledger.audit()]
    assert log == [
        ("", "refused sign in", "", "testclient"),
        ("R1", "sign in", "", ""),
        ("R1", "open", item, ""),
        ("R1", "image", item, "T1"),
        ("R1", "save", item, ""),
        *(("R1", action, item, detail) for action, detail in viewed.items()),
        ("R1", "submit", item, ""),
        ("R1", "sign out", "", ""),
        ("organiser", "sign in", "", ""),
        ("organiser", "close", "", ""),
    ]
    written = " ".join(" ".join(line) for line in log)
    assert not any(secret in written for secret in (*tokens().values(), "wrong", REPORT["findings"]))


def test_the_organiser_sees_how_far_they_are_and_nothing_else(served: Served) -> None:
    reader = served.client("R1")
    assert reader.post(f"{place(reader)}/submit", json={**REPORT, "findings": "SECRETWORDS"}).status_code == 200
    served.wait(hours=1)
    organiser = served.client("organiser")
    page = organiser.get("/").text
    assert "R1" in page
    assert "R2" in page
    assert "1 of 16" in page
    assert "0 of 16" in page
    assert "2026-01-05T09:00:00+00:00" in page
    assert "2026-01-05T10:00:00+00:00" not in page, "of the organiser nothing is told"
    secrets = ["SECRETWORDS", REPORT["impression"], "real", "3-to-3", *tokens().values()]
    secrets += [name for item in served.record.readers[0].items for name in (item.id, item.images)]
    assert [secret for secret in secrets if secret in page.replace("which images are real", "")] == []
    assert organiser.get("/api/progress").status_code == 401
    assert organiser.get(f"{place(reader)}/report").status_code == 401


def test_words_of_a_study_are_words_on_its_pages(tmp_path: Path, served: Served) -> None:
    """Also if they are a script."""
    text = (served.folder / "study.json").read_text().replace('"Phantoms"', '"<script>alert(1)</script>"')
    (served.folder / "study.json").write_text(text)
    served.app = create_app(served.folder, served.now)
    for who in ("", "R1", "organiser"):
        page = served.client(who).get("/").text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "<script>alert" not in page
    served.ledger.close_connections()


@pytest.mark.parametrize("damage", ["missing", "link", "folder link", "shorter", "other header", "pipe"])
def test_a_damaged_study_is_not_served(served: Served, tmp_path: Path, damage: str) -> None:
    image = served.folder / IMAGES / served.record.readers[1].items[5].images / "FLAIR.nii"
    content = image.read_bytes()
    if damage == "folder link":
        image.parent.rename(tmp_path / "elsewhere")
        image.parent.symlink_to(tmp_path / "elsewhere")
    else:
        image.unlink()
    if damage == "link":
        (tmp_path / "elsewhere.nii").write_bytes(content)
        image.symlink_to(tmp_path / "elsewhere.nii")
    elif damage == "shorter":
        image.write_bytes(content[:-1])
    elif damage == "other header":
        image.write_bytes(content[:148] + b"synthesized" + content[159:])
    elif damage == "pipe":
        os.mkfifo(image)
    with pytest.raises(BadInput, match="FLAIR.nii|differ in size or header|" + image.parent.name):
        create_app(served.folder)
