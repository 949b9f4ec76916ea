"""Sequences whose header has no place in the world: together if all are alike, never beside one that has."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_phantoms import affine_for, brain, save
from pmmsynth.errors import BadInput
from pmmsynth.prepare import prepare_volumes
from pmmsynth.prepare.quality import remarks
from pmmsynth.volume import Volume, read_volume


def volumes(folder: Path, **codes: tuple[int, int]) -> dict[str, Volume]:
    return {name: read_volume(save(folder / f"{name}.nii.gz", brain(name), codes=both)) for name, both in codes.items()}


@pytest.mark.parametrize(("codes", "lost"), [((0, 0), True), ((1, 0), False), ((0, 1), False), ((1, 1), False)])
def test_a_place_is_known_if_any_of_the_two_is(tmp_path: Path, codes: tuple[int, int], lost: bool) -> None:
    (volume,) = volumes(tmp_path, T1=codes).values()
    assert volume.is_lost is lost
    assert not Volume(volume.data, volume.affine).is_lost, "not of a file: its affine was given"


def test_one_without_a_place_beside_one_with_is_refused_by_name(tmp_path: Path) -> None:
    for first, second, name in (((1, 1), (0, 0), "T2"), ((0, 0), (0, 1), "T1")):
        with pytest.raises(BadInput) as caught:
            prepare_volumes(volumes(tmp_path, T1=first, T2=second))
        assert caught.value.found == f"{tmp_path}/{name}.nii.gz: {name} does not say how it lies (no sform, no qform)"
        assert caught.value.remedy == "copy the header from the source, or export it again"


def test_all_without_a_place_on_one_grid_are_remarked_on_and_come_out_as_with_it(tmp_path: Path) -> None:
    got = prepare_volumes(volumes(tmp_path, T1=(0, 0), T2=(0, 0)))
    assert [r for r in remarks(got.quality) if "how it lies" in r] == [
        f"{name} does not say how it lies (no sform, no qform)" for name in ("T1", "T2")
    ]
    named = volumes(tmp_path, T1=(1, 1), T2=(1, 1))
    assert not [r for r in remarks(prepare_volumes(named).quality) if "how it lies" in r]
    assert got.brain.sum() == prepare_volumes(named).brain.sum()


def test_without_a_place_on_two_grids_they_are_refused(tmp_path: Path) -> None:
    lost = volumes(tmp_path, T1=(0, 0), T2=(0, 0))
    fewer = save(tmp_path / "T2.nii.gz", brain("T2")[:, 2:], affine_for(), codes=(0, 0))
    with pytest.raises(BadInput, match="T1 does not say how it lies"):
        prepare_volumes(lost | {"T2": read_volume(fewer)})
    other = replace(lost["T2"], affine=lost["T2"].affine @ np.diag([1, 1, 1.5, 1]))
    with pytest.raises(BadInput, match="T1 does not say how it lies"):
        prepare_volumes(lost | {"T2": other})


@pytest.mark.parametrize("kind", ["lesion", "mask"])
def test_a_mask_is_placed_as_its_sequences_are_or_refused(tmp_path: Path, kind: str) -> None:
    """By the reader's guess it would lie mirrored, front to back and left to right, and nobody would know."""
    half = (brain("T1") > 0) & (np.arange(brain("T1").shape[1]) > 20)[:, None]
    lost, placed = (
        read_volume(save(tmp_path / f"mask{codes[0]}.nii.gz", half.astype(np.float32), codes=codes))
        for codes in ((0, 0), (1, 1))
    )
    name = {"lesion": "lesion mask", "mask": "brain mask"}[kind]
    with pytest.raises(BadInput, match=f"mask0.nii.gz: {name} does not say how it lies"):
        prepare_volumes(volumes(tmp_path, T1=(1, 1)), **{kind: lost})
    with pytest.raises(BadInput, match=r"T1\.nii\.gz: T1 does not say how it lies"):
        prepare_volumes(volumes(tmp_path, T1=(0, 0)), **{kind: placed})
    together = prepare_volumes(volumes(tmp_path, T1=(0, 0)), **{kind: lost})
    known = prepare_volumes(volumes(tmp_path, T1=(1, 1)), **{kind: placed})
    assert getattr(together, {"mask": "brain"}.get(kind, kind)).sum() == pytest.approx(
        getattr(known, {"mask": "brain"}.get(kind, kind)).sum()
    )
