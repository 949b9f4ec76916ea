"""What a reader chooses from for an impression, and the text that becomes of it."""

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pmmsynth.errors import BadInput
from pmmsynth.manifest import first_message

NOT_APPLICABLE, OTHER = "not applicable", "other"
Choices = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]


class Form(BaseModel):
    """Types of disease and grades. The default types are labels of `pmmsynth reading score`, but for the last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    types: Choices = (
        "normal",
        "glioma",
        "metastasis",
        "meningioma",
        "lymphoma",
        "acute infarct",
        "chronic infarct",
        "haemorrhage",
        "demyelination",
        "inflammation",
        "infection",
        OTHER,
    )
    grades: Choices = (NOT_APPLICABLE, "WHO grade 1", "WHO grade 2", "WHO grade 3", "WHO grade 4")

    @classmethod
    def read(cls, path: Path | None = None) -> "Form":
        """Read a TOML file, or take the default. Raises BadInput with what is wrong in it."""
        if path is None:
            return cls()
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except ValidationError as error:
            raise BadInput(f"{path}: {first_message(error)}", "lists types and grades", "correct it") from error
        except (ValueError, OSError, RecursionError) as error:
            raise BadInput(f"{path}: {error}", "lists types and grades in TOML", "correct it or the path") from error


def impression(type: str, grade: str, text: str) -> str:
    """One text in which labels are found: type and grade make a term, as "glioma WHO grade 4".

    Example:
        impression("glioma", "WHO grade 4", "Butterfly shape.") == "glioma WHO grade 4; Butterfly shape."
    """
    named = "other diagnosis" if type == OTHER else type  # so that "the remaining brain is normal" does not count alone
    term = f"{named} {'' if grade == NOT_APPLICABLE else grade}".strip()
    return "; ".join(part for part in (term, text.strip()) if part)
