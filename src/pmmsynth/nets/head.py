"""Where the head is: what the streams compute on, and where statistics are taken."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import functional as F

from pmmsynth.tensors import Images, Mask, Part

MARGIN = 4
"""Pixels the last two convolutions (3x3, 7x7) reach: with so many around the head nothing in it sees the box's edge."""
STEP = 16
"""Sides of a box are multiples of this: few different shapes, each of which a backend prepares once."""


class Inside(NamedTuple):
    """Where the head is, 1.0 or 0.0, at the three sizes of the features."""

    full: Mask
    half: Mask
    quarter: Mask


@dataclass(frozen=True)
class Box:
    """Rows and columns of a slice; corners are multiples of 4, so that strided convolutions see the same grid."""

    rows: slice
    columns: slice

    def cut(self, images: Images) -> Part:
        """The part of the images in the box; no copy."""
        return images[..., self.rows, self.columns]

    def paste(self, part: Part, size: torch.Size) -> Images:
        """Zeros of height and width `size`, with `part` where it was cut from."""
        height, width = size
        left, top = self.columns.start, self.rows.start
        return F.pad(part, (left, width - self.columns.stop, top, height - self.rows.stop))


def head_box(given: Images) -> Box:
    """The box around every pixel above 0 of any slice, with MARGIN around it where the image goes so far."""
    head = (given > 0).any(1).any(0)
    return Box(_side(head.any(1)), _side(head.any(0)))


def _side(occupied: torch.Tensor) -> slice:
    size = len(occupied)
    found = occupied.nonzero().flatten().tolist() or [0]
    first = max(found[0] - MARGIN, 0) // 4 * 4
    length = min(-(-(min(found[-1] + 1 + MARGIN, size) - first) // STEP) * STEP, size)
    first = min(first, size - length)
    return slice(first, first + length)


def inside(given: Images) -> Inside:
    """Where any source is above 0; a pixel of a smaller size is inside if any of its pixels is."""
    full = (given > 0).any(1, keepdim=True).float()
    half = F.max_pool2d(full, 2)
    return Inside(full, half, F.max_pool2d(half, 2))
