"""What the reading page asks: where the reader stands, the images of the current item, its report."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, HTTPException, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pmmsynth.study.files import Item, Reader
from pmmsynth.study.ledger import BLANK, Closed, Draft, Locked
from pmmsynth.web.guard import body_of
from pmmsynth.web.images import read_image
from pmmsynth.web.serving import OnlyReaders, Served, Serving, only_readers

router = APIRouter(prefix="/api", dependencies=[Depends(only_readers)])  # before a body is looked at


class Standing(BaseModel):
    """Where a reader stands, and what the study is about."""

    reader: str
    sitting: int
    sittings: int
    done: int
    total: int
    current: str | None
    opens: datetime | None
    finished: bool
    closed: bool
    sequences: tuple[str, ...]
    types: tuple[str, ...]
    grades: tuple[str, ...]
    title: str


class Viewed(BaseModel):
    """Something the reader did with the viewer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    action: Literal[
        "pause",
        "resume",
        "window",
        "scroll",
        "plane",
        "zoom",
        "pan",
        "point",
        "crosshair",
        "enlarge",
        "reset",
        "measure",
        "unmeasure",
    ]
    detail: Annotated[str, Field(max_length=500)] = ""


async def _draft(body: Annotated[bytes, Depends(body_of)], serving: Served) -> Draft:
    draft = _parsed(body, TypeAdapter(Draft))
    for name, choices in (("type", serving.record.types), ("grade", serving.record.grades)):
        if getattr(draft, name) not in ("", *choices):
            raise HTTPException(422, f"found another {name}; expected one of the study's, or none; choose one")
    return draft


async def _viewed(body: Annotated[bytes, Depends(body_of)]) -> Viewed:
    return _parsed(body, TypeAdapter(Viewed))


async def _began(if_match: Annotated[str, Header()] = "") -> str:
    """The revision that the text began from; if none is said, an empty form."""
    return if_match.removeprefix("W/").strip('"') or BLANK


Given = Annotated[Draft, Depends(_draft)]
Began = Annotated[str, Depends(_began)]


@router.get("/progress")
def standing(reader: OnlyReaders, serving: Served) -> Standing:
    """Where the reader stands."""
    now, record = serving.progress(reader), serving.record
    return Standing(
        reader=reader.code,
        sitting=now.sitting,
        sittings=now.sittings,
        done=now.done,
        total=now.total,
        current=now.current and now.current.id,
        opens=now.opens,
        finished=now.finished,
        closed=now.closed,
        sequences=record.sequences,
        types=record.types,
        grades=record.grades,
        title=record.title,
    )


@router.get("/items/{item}/report")
def report(item: str, reader: OnlyReaders, serving: Served, answer: Response) -> Draft:
    """The draft of the current item."""
    _current(serving, reader, item)
    serving.ledger.log(reader.code, "open", item)
    draft = serving.ledger.draft(item) or Draft()
    answer.headers["ETag"] = f'"{draft.revision}"'
    return draft


@router.put("/items/{item}/report", status_code=204)
def save(item: str, draft: Given, began: Began, reader: OnlyReaders, serving: Served, answer: Response) -> None:
    """Keep the draft of the current item, unless another page has saved one since this page began."""
    _to_be_written(serving, reader, item)
    serving.ledger.save(reader.code, item, draft, began)
    answer.headers["ETag"] = f'"{draft.revision}"'


@router.post("/items/{item}/submit")
def submit(item: str, draft: Given, began: Began, reader: OnlyReaders, serving: Served) -> Standing:
    """Keep the report of the current item for good, likewise; the next one opens."""
    _to_be_written(serving, reader, item)
    serving.ledger.submit(reader.code, item, draft, began)
    return standing(reader, serving)


@router.post("/actions", status_code=204)
def act(viewed: Annotated[Viewed, Depends(_viewed)], reader: OnlyReaders, serving: Served) -> None:
    """Note what the reader does."""
    current = serving.progress(reader).current
    serving.ledger.log(reader.code, viewed.action, current.id if current else "", viewed.detail)


@router.get("/items/{item}/{name}")
def image(item: str, name: str, reader: OnlyReaders, serving: Served) -> Response:
    """One sequence of the current item."""
    images = _current(serving, reader, item).images
    sequence = name.removesuffix(".nii")
    if name != f"{sequence}.nii" or sequence not in serving.record.sequences:
        raise HTTPException(404)
    volume = read_image(serving.folder, images, sequence)
    serving.ledger.log(reader.code, "image", item, sequence)
    return Response(volume, media_type="application/octet-stream")


def _current(serving: Serving, reader: Reader, item: str) -> Item:
    """The reader's current item; whatever else there is or is not, there is nothing."""
    current = serving.progress(reader).current
    if current is None or current.id != item:
        raise HTTPException(404)
    return current


def _to_be_written(serving: Serving, reader: Reader, item: str) -> None:
    """Of the reader's own items it may be said why they cannot be written."""
    if item in serving.ledger.submitted(reader.code):
        raise Locked
    if serving.ledger.closed and any(own.id == item for own in reader.items):
        raise Closed
    _current(serving, reader, item)


def _parsed(body: bytes, kind: TypeAdapter[Any]) -> Any:
    """Without a word of the body in the answer."""
    try:
        return kind.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        if first["type"] == "string_too_long":
            raise HTTPException(422, "too long; shorten the text") from error
        message = first["msg"]
        raise HTTPException(422, f"found a wrong body ({message}); expected what the page sends; correct it") from error
