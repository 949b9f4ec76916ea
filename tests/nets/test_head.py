"""The head: its masks, and the box the streams run in, which changes nothing inside the head."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pmmsynth.nets import PMMSynth
from pmmsynth.nets.head import MARGIN, STEP, head_box, inside


def test_inside_at_three_sizes() -> None:
    given = torch.zeros(1, 2, 8, 8)
    given[0, 1, 3, 5] = 0.1  # one pixel of one source
    masks = inside(given)
    for mask, size in zip(masks, (8, 4, 2), strict=True):
        assert mask.shape == (1, 1, size, size)
        assert mask.sum() == 1
        assert mask[0, 0, 3 * size // 8, 5 * size // 8] == 1


def head(size: int, rows: slice, columns: slice) -> torch.Tensor:
    images = torch.zeros(2, 3, size, size)
    images[1, 0, rows, columns] = torch.rand(images[1, 0, rows, columns].shape) + 0.1
    return images


@settings(deadline=None)
@given(size=st.sampled_from([16, 20, 52, 96]), data=st.data())
def test_the_box_holds_the_head_with_its_margin(size: int, data: st.DataObject) -> None:
    sides = []
    for _ in range(2):
        first = data.draw(st.integers(0, size - 1))
        sides.append(slice(first, data.draw(st.integers(first + 1, size))))
    box = head_box(head(size, *sides))
    for side, occupied in zip((box.rows, box.columns), sides, strict=True):
        assert 0 <= side.start <= max(occupied.start - MARGIN, 0)
        assert min(occupied.stop + MARGIN, size) <= side.stop <= size
        assert side.start % 4 == 0
        assert (side.stop - side.start) % STEP == 0 or side.stop - side.start == size
        assert side.stop - side.start <= max(occupied.stop - occupied.start + 2 * MARGIN + 3 + STEP, STEP)


def test_cut_and_paste() -> None:
    images = head(64, slice(30, 34), slice(5, 20))
    box = head_box(images)
    assert box.cut(images).shape == (2, 3, 16, 32)
    assert torch.equal(box.paste(box.cut(images), images.shape[-2:]), images)


def test_no_head_at_all_is_a_small_box() -> None:
    assert head_box(torch.zeros(1, 2, 64, 64)).cut(torch.zeros(1, 2, 64, 64)).shape == (1, 2, STEP, STEP)


@pytest.mark.parametrize(
    ("rows", "columns"),
    [(slice(20, 50), slice(24, 40)), (slice(0, 30), slice(40, 64)), (slice(33, 34), slice(60, 64))],
)
def test_the_box_changes_nothing_in_the_head(rows: slice, columns: slice) -> None:
    generator = PMMSynth(modalities=3, width=4, residual_blocks=2, embedding=8)
    for parameter in generator.parameters():  # every offset and bias has something to say outside the head
        torch.nn.init.normal_(parameter, std=0.3)
    images, mask = head(64, rows, columns), torch.zeros(64, 64)
    mask[rows, columns] = 1
    condition = (torch.tensor([True, False, False]), torch.tensor(0), torch.tensor([True, True, False]))
    boxed, whole = generator(images, *condition), generator.synthesize(images, [0], torch.tensor(0), [0, 1])
    assert whole[:, :2].std() > 0.1
    assert torch.allclose(boxed[1] * mask, whole[1] * mask, rtol=1e-4, atol=1e-4)
