"""A report as its clauses: cut at commas, semicolons, full stops and ends of lines."""

import re

_CUT = re.compile(
    r"[;\n；。，]"
    r"|(?<!\d),|,(?!\d)"  # 1,5 stays whole
    r"|(?<!\d)(?<!\b[a-z])\.|(?<=\d)\.(?!\d)"  # so do 3.5 and abbreviations of small letters such as e.g.
)


def clauses(text: str) -> list[str]:
    """The clauses of a text that hold at least one letter.

    Example:
        clauses("Mass of 3.5 cm, no shift.") == ["Mass of 3.5 cm", "no shift"]
    """
    pieces = (" ".join(piece.split()) for piece in _CUT.split(text))
    return [piece for piece in pieces if any(c.isalpha() for c in piece)]
