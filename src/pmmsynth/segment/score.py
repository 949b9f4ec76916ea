"""A segmenter on held-out cases, with sequences real, synthesized or dropped: rows as JSON lines."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from pmmsynth.atomic import only_writer, write_text
from pmmsynth.case import Split
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.evaluate.method import Method
from pmmsynth.infer import Synthesizer
from pmmsynth.jobs import Outcome, map_cases
from pmmsynth.learned import check_unknown
from pmmsynth.manifest import first_message
from pmmsynth.modality import Task, parse_modality
from pmmsynth.segment.overlap import Overlap, overlap
from pmmsynth.segment.regions import REGIONS, Target, regions_of
from pmmsynth.segment.segmenter import SegmenterCard, load_segmenter, segment
from pmmsynth.segment.slices import brain_slices, digest_of, marked_cases, stack, told_apart
from pmmsynth.store import PreparedCase, Store

Variant = Literal["real", "synthesized", "dropped", "mixed, real", "mixed, synthesized"]
VARIANTS: tuple[Variant, ...] = ("real", "synthesized", "dropped")
"""Those of Fig. 2c."""
SCORED = "inside the brain"
"""How rows come about; another text makes old ones stale."""
MIXED: tuple[Variant, ...] = ("mixed, real", "mixed, synthesized")
"""The same inputs for a network that learned from synthesized sequences among the real ones."""


class RegionScore(BaseModel):
    """One row: one region of one case.

    Attributes:
        variant: Whether all sequences were real, one was synthesized, or the network works without it; "mixed, " before
            it if the network learned from synthesized sequences too.
        left_out: That sequence; "" when all are real.
        dataset: Of the store.
        case: Its name there.
        region: Such as "tumour core".
        dice: From 0 to 1; 1 where the region is empty in truth and prediction, 0 where in one of them.
        hd95_mm: 95th-percentile Hausdorff distance; 0 where both are empty, None where one is.
        volume_ml: Found.
        truth_ml: True.
        split: Of the case when it was scored.
        network: Digest of segmenter and synthesis model.
        digest: Of all that determines the row: these, the arrays of the case, and how it is scored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant: Variant
    left_out: str
    dataset: str
    case: str
    region: str
    dice: float
    hd95_mm: float | None
    volume_ml: float
    truth_ml: float
    split: Split
    network: str
    digest: str

    @property
    def place(self) -> tuple[str, str, str, str]:
        return self.variant, self.left_out, self.dataset, self.case


@dataclass(frozen=True)
class Segmented:
    """The rows of a split, of all variants, and the cases that could not be segmented now.

    `exit_code`: 0 all done, 5 some failed, 4 all failed and there are no rows, 70 a fault of ours.
    """

    rows: list[RegionScore]
    outcome: Outcome[None]

    @property
    def exit_code(self) -> int:
        return 5 if self.outcome.exit_code == 4 and self.rows else self.outcome.exit_code


def evaluate_segmenter(
    store: Store,
    folder: Path,
    rows_path: Path,
    *,
    model: Path | None = None,
    left_out: str = "",
    split: Split = "test",
    device: str = "auto",
    reporter: Reporter,
) -> Segmented:
    """Segment the marked cases of a split and add what is missing to the rows; a damaged case does not stop the others.

    Rows of the same variant by other weights go, and those of cases that are no longer in this split of the store.
    Without a model all sequences are the real ones the segmenter takes. With one, `left_out` is synthesized from the
    segmenter's other sequences.

    Args:
        store: What `prepare` wrote.
        folder: A segmenter or its run folder.
        rows_path: The JSON lines; made if absent.
        model: A synthesis model or its run folder.
        left_out: The sequence it synthesizes.
        split: Which cases.
        device: Of both.
        reporter: Where to speak.

    Raises:
        BadInput: If the folder of a network is damaged or no case fits.
        UsageError: If segmenter, model, sequence and store do not fit together, one of them learned from a case, or
            another process writes there.
    """
    network, card = load_segmenter(folder, device)
    left_out = parse_modality(left_out) if left_out else ""
    _check(card, store, model, left_out)
    method = Method.of([Synthesizer.load(model, device)], [model], store) if model else None
    variant = variant_of(card, synthesized=model is not None)
    missing = left_out or card.left_out
    all_names = (*card.modalities, card.left_out) if card.left_out else card.modalities
    cases = marked_cases(store, [split], card.target, all_names, reporter)
    if method:
        check_task(cases, card.modalities, left_out, method)
        check_unknown("the model", method.learned, cases, reporter)
    check_unknown("the segmenter", card.learned, cases, reporter)
    by = _digest(card.weights_sha256, method.digest if method else "", left_out)
    with only_writer(rows_path.parent):
        kept = _still_true(read_rows(rows_path), store, split, (variant, missing, by), reporter)
        rows = {(*row.place, row.region): row for row in kept}
        digests = {_name(case): _digest(by, split, digest_of([case]), SCORED) for case in cases}
        places = {case: [(variant, missing, *case, region) for region in REGIONS[card.target]] for case in digests}
        for case, keys in places.items():
            if any(key not in rows or rows[key].digest != digests[case] for key in keys):
                for key in keys:
                    rows.pop(key, None)

        def add(case: PreparedCase) -> None:
            keys = places[_name(case)]
            if all(key in rows for key in keys):
                return
            case.verify()
            about = {"variant": variant, "left_out": missing, "split": split, "network": by}
            images = inputs(case, card.modalities, left_out, method)
            if card.synthesis:
                made = torch.tensor([name == left_out for name in card.modalities])
                images = told_apart(images, made.expand(len(images), -1))
            for key, found in zip(keys, _score(network, card.target, case, images), strict=True):
                own = {"dataset": key[2], "case": key[3], "region": key[4], "digest": digests[_name(case)]}
                rows[key] = RegionScore(**own, **vars(found), **about)
            write_rows(rows_path, list(rows.values()))

        label, names = f"segmenting, {variant} {missing}".strip(), ["/".join(_name(case)) for case in cases]
        outcome = map_cases(add, cases, names, label=label, jobs=1, reporter=reporter)
    return Segmented([row for row in rows.values() if row.split == split], outcome)


def _still_true(
    rows: list[RegionScore], store: Store, split: Split, place: tuple[str, str, str], reporter: Reporter
) -> list[RegionScore]:
    """Without rows of (variant, left out) by other networks, and of cases that left the split."""
    variant, left_out, by = place
    now = {_name(case) for case in store.cases(split)}
    datasets = {dataset.name for dataset in store.record.datasets}

    def stale(row: RegionScore) -> bool:
        other = (row.variant, row.left_out) == (variant, left_out) and row.network != by
        return other or (row.split == split and row.dataset in datasets and (row.dataset, row.case) not in now)

    kept = [row for row in rows if not stale(row)]
    if len(kept) < len(rows):
        reporter.remark(f"{len(rows) - len(kept)} rows of other networks, or of cases no longer here, left out")
    return kept


def _name(case: PreparedCase) -> tuple[str, str]:
    return case.record.dataset, case.record.case


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def check_task(cases: Sequence[PreparedCase], modalities: tuple[str, ...], left_out: str, method: Method) -> None:
    """Raises UsageError unless the method makes one sequence from all others, in every dataset of the cases."""
    task = Task(tuple(name for name in modalities if name != left_out), left_out)
    for dataset in sorted({case.record.dataset for case in cases}):
        if not method.can(task, dataset):
            raise UsageError(
                f"found a model that does not do {task} in {dataset}; expected one that makes it from all others; "
                "choose another model"
            )


def variant_of(card: SegmenterCard, *, synthesized: bool) -> Variant:
    """What a segmenter's row is called, with one sequence synthesized or none."""
    if card.synthesis:
        return "mixed, synthesized" if synthesized else "mixed, real"
    return "synthesized" if synthesized else "dropped" if card.left_out else "real"


def inputs(case: PreparedCase, modalities: tuple[str, ...], left_out: str, method: Method | None) -> torch.Tensor:
    """The slices with brain of a case as a segmenter takes them, one sequence synthesized from the others if asked.

    Args:
        case: Has all modalities.
        modalities: The channels, in order.
        left_out: What is synthesized.
        method: By what; None: everything real.

    Returns:
        (slice, modality, row, column), [0, 1], 0 outside the brain.
    """
    positions = brain_slices(case)
    images = stack(case, modalities, positions)
    if method:
        task = Task(tuple(name for name in modalities if name != left_out), left_out)
        given = images.numpy().transpose(1, 0, 2, 3)
        made = method.run(given, modalities, task, case.record, np.asarray(case.brain()[positions]))
        images[:, modalities.index(left_out)] = torch.from_numpy(made)
    return images


def read_rows(path: Path) -> list[RegionScore]:
    """The rows of a file, none if it is not there. Raises BadInput."""
    if not path.is_file():
        return []
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            rows.append(RegionScore.model_validate_json(line))
        except ValidationError as error:
            raise BadInput(f"{path}, line {number}: {first_message(error)}", "one row per line", "remove it") from error
    return rows


def write_rows(path: Path, rows: list[RegionScore]) -> None:
    """All rows, complete or not at all, in an order that does not depend on when they were made."""
    names = [*VARIANTS, *MIXED, *(region for regions in REGIONS.values() for region in regions)]
    order = {name: place for place, name in enumerate(names)}
    rows = sorted(rows, key=lambda r: (order[r.variant], r.left_out, r.dataset, r.case, order.get(r.region, 0)))
    write_text(path, "".join(row.model_dump_json() + "\n" for row in rows))


def _check(card: SegmenterCard, store: Store, model: Path | None, left_out: str) -> None:
    """Raises UsageError unless these belong together."""
    if (card.matrix, card.inplane_mm) != (store.record.matrix, store.record.inplane_mm):
        raise UsageError(
            f"found a segmenter for {card.matrix} pixels of {card.inplane_mm:g} mm and a store of "
            f"{store.record.matrix} of {store.record.inplane_mm:g} mm; expected the same; prepare such a store"
        )
    if bool(model) != bool(left_out):
        raise UsageError("found --model or --left-out alone; expected both, or none of them; give the other too")
    if left_out and card.left_out:
        raise UsageError(
            f"found a segmenter trained without {card.left_out} and --left-out {left_out}; expected the one trained on "
            "all sequences; choose that one"
        )
    if left_out and (left_out not in card.modalities or len(card.modalities) == 1):
        raise UsageError(
            f"found --left-out {left_out}; expected one of several sequences of the segmenter, "
            f"{', '.join(card.modalities)}; choose one of them"
        )


def _score(network: torch.nn.Module, target: Target, case: PreparedCase, images: torch.Tensor) -> list[Overlap]:
    """Each region of a case, inside its brain."""
    positions, brain = brain_slices(case), case.brain()
    truths = regions_of(case, target)
    found: NDArray[np.bool_] = np.zeros_like(truths)
    found[:, positions] = segment(network, images).numpy().transpose(1, 0, 2, 3) & brain[positions]
    spacing = case.record.prepared.grid().spacing[::-1]
    return [overlap(mask, truth, spacing) for mask, truth in zip(found, truths, strict=True)]
