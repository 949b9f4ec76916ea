"""The page a person judges a dataset by: one self-contained HTML file, a pure function of its reviews."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment

from pmmsynth.atomic import write_text
from pmmsynth.prepare.review import FOLDER, Review, read_reviews

VERDICTS = ("excluded", "flagged", "kept")
"""In the order they are shown."""
NUMBERS = (
    ("coverage", "{:.0%}", "share of the brain with values above 0"),
    ("alignment", "{:.2f}", "correlation of edges with those of the reference"),
    ("sharpness", "{:.2f}", "0.5: smooth over 2 mm in plane; 1: noise"),
    ("anisotropy", "{:.2f}", "steps from left to right by steps from front to back"),
    ("solidity", "{:.2f}", "share of its convex outline that the brain mask fills"),
    ("clipped", "{:.1%}", "share of the brain beyond the scale"),
    ("negative", "{:.1%}", "share of the brain below 0 in the file"),
    ("levels", "{:.0f}", "grey levels of the file"),
    ("interleave", "{:.1%}", "by what share odd and even slices differ in brightness"),
    ("cropped", "{:.1%}", "share of the brain outside the crop"),
    ("moved", "{:.1f} mm", "how far the registration moved it"),
    ("doubt", "{:.1f} mm", "how far apart two starts of the registration end"),
    ("information", "{:.2f}", "mutual information with the reference, nats"),
)
"""Name in the record, how it is written, what it means."""


def write_quality_page(out: Path, dataset: str) -> Path:
    """Write `quality/<dataset>.html` into a store; left as it is if nothing changed.

    Args:
        out: The store.
        dataset: Its name.
    """
    page = out / FOLDER / f"{dataset}.html"
    write_text(page, _rendered(dataset, list(read_reviews(out, dataset))))
    return page


def _rendered(dataset: str, reviews: Sequence[Review]) -> str:
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        files("pmmsynth.prepare").joinpath("quality.html").read_text(encoding="utf-8")
    )
    found = {verdict: [r for r in reviews if r.verdict == verdict] for verdict in VERDICTS}
    return template.render(
        dataset=dataset,
        total=len(reviews),
        found=found,
        number={review.case: number for number, review in enumerate(r for v in VERDICTS for r in found[v])},
        columns=_columns,
    )


def _columns(review: Review) -> list[tuple[str, str, str]]:
    """Of NUMBERS, those that any sequence of the case has."""
    return [number for number in NUMBERS if any(number[0] in score for score in review.quality.values())]
