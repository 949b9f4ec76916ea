"""The folder of a reading study, which tells nobody what is real, and its key, which is kept elsewhere."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pmmsynth.case import FolderName
from pmmsynth.errors import BadInput
from pmmsynth.manifest import first_message

STUDY, KEY, TOKENS, IMAGES = "study.json", "key.json", "tokens.csv", "images"
ORGANISER = "organiser"
"""Who is no reader; no reader is called so."""
REQUEST = "request.json"

INTENDED_USE = "this reading study alone; some of the images are synthetic and not marked, key.json says which"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Record = TypeVar("Record", bound=_Record)


class Item(_Record):
    """One set of images as one reader gets it.

    Attributes:
        id: Unguessable, of this reader alone: two readers cannot find out whether they see the same images.
        images: The folder below `images` that holds one volume per sequence; as unguessable, shared by readers.
    """

    id: FolderName
    images: FolderName


class Reader(_Record):
    """A radiologist of the study.

    Attributes:
        code: What stands for the name.
        token: SHA-256 of the token the reader signs in with.
        sittings: In order; in each every case once, in the order to be read.
    """

    code: FolderName
    token: str
    sittings: tuple[tuple[Item, ...], ...]

    @property
    def items(self) -> tuple[Item, ...]:
        """All of them, in the order to be read."""
        return tuple(item for sitting in self.sittings for item in sitting)


class StudyRecord(_Record):
    """`study.json`: all that the server knows. Which images are real it does not.

    Attributes:
        format: Of this file.
        id: Of the study, random; the key has the same.
        title: Shown to readers.
        sequences: In the order they are shown in.
        washout_days: Between the last report of a sitting and the first of the next.
        types: Diagnoses to choose from in an impression; beside them is free text.
        grades: Grades to choose from.
        organiser: SHA-256 of the token the organiser signs in with.
        readers: Each with an order of their own.
        intended_use: What whoever finds the images must know.
    """

    format: Literal[1] = 1
    id: str
    title: str
    sequences: tuple[FolderName, ...]
    washout_days: Annotated[float, Field(ge=0)]
    types: tuple[str, ...]
    grades: tuple[str, ...]
    organiser: str
    readers: tuple[Reader, ...]
    intended_use: str = INTENDED_USE

    @model_validator(mode="after")
    def _has_no_item_twice(self) -> "StudyRecord":
        items = [item.id for reader in self.readers for item in reader.items]
        if len(set(items)) != len(items):
            raise ValueError("an item stands twice")
        return self

    @model_validator(mode="after")
    def _tells_people_apart(self) -> "StudyRecord":
        codes = [ORGANISER, *(reader.code for reader in self.readers)]
        tokens = [self.organiser, *(reader.token for reader in self.readers)]
        if len(set(codes)) != len(codes) or len(set(tokens)) != len(tokens):
            raise ValueError("a code or token stands twice, or a reader is called organiser")
        return self


class Shown(_Record):
    """What a folder of images is: a case in one of the sets."""

    case: str
    set: str
    real: tuple[str, ...]
    synthesized: tuple[str, ...]


class KeyRecord(_Record):
    """`key.json`: what the organiser opens when all reports are in.

    Attributes:
        study: Id of the study.
        images: By folder of images what they are.
        model: SHA-256 of the model's weights.
        seed: Of all that was drawn by lot.
    """

    format: Literal[1] = 1
    study: str
    images: dict[str, Shown]
    model: str
    seed: int


class Request(_Record):
    """`request.json`, beside the key: what a study was asked to be; the same request finishes one broken off.

    Attributes:
        folder: Of the study: a key opens one study only.
        title: As in `study.json`, like `washout_days`, `types` and `grades`.
        readers: Their codes.
        seed: Of all that is drawn by lot.
        model: SHA-256 of the model's weights.
        data: SHA-256 over names and arrays of the cases.
    """

    format: Literal[1] = 1
    folder: str
    title: str
    readers: tuple[FolderName, ...]
    washout_days: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    types: tuple[str, ...]
    grades: tuple[str, ...]
    seed: Annotated[int, Field(ge=0)]
    model: str
    data: str


def read_study(folder: Path) -> StudyRecord:
    """Raises BadInput if there is none or it is damaged."""
    return _read(folder / STUDY, StudyRecord, "a study made by pmmsynth reading create")


def read_key(folder: Path) -> KeyRecord:
    """Raises BadInput if there is none or it is damaged."""
    return _read(folder / KEY, KeyRecord, "the key made with the study")


def read_request(key_folder: Path) -> Request:
    """Raises BadInput if there is none or it is damaged."""
    return _read(key_folder / REQUEST, Request, "the request kept with the key")


def token_digest(token: str) -> str:
    """What is kept of a token. Tokens are random and long, so a plain hash cannot be turned back."""
    text = token.strip().encode(errors="surrogatepass")  # JSON may hold half a character: a wrong token like others
    return hashlib.sha256(text).hexdigest()


def _read(path: Path, record: type[Record], expected: str) -> Record:
    try:
        return record.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise BadInput(f"no {path.name} in {path.parent}", expected, "check the folder") from error
    except ValidationError as error:
        raise BadInput(f"{path}: {first_message(error)}", expected, "take it from a backup") from error
