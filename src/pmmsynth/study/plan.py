"""Who reads which case in which set and when: by lot, and balanced."""

from dataclasses import dataclass

import numpy as np

MIN_CASES = 3
"""With fewer the order cannot change from sitting to sitting."""


@dataclass(frozen=True)
class Place:
    """A case in a set, both as numbers."""

    case: int
    set: int


Sitting = tuple[Place, ...]
"""Every case once, in the order to be read."""


def plan(cases: int, sets: int, readers: int, seed: int) -> list[tuple[Sitting, ...]]:
    """The sittings of every reader, as many as there are sets.

    Over the sittings a reader gets every case in every set. In each sitting the sets are as equally frequent as the
    number of cases allows. No two sittings of a reader have the same order of cases, and the last case of one is not
    the first of the next. Readers have lots of their own; all follow from the seed.

    Raises:
        ValueError: For fewer than three cases, or more than four sets with three.
    """
    if cases < MIN_CASES or (cases == MIN_CASES and sets > 4):
        raise ValueError(f"{cases} cases in {sets} sets have too few orders")
    return [_sittings(cases, sets, np.random.default_rng([seed, reader])) for reader in range(readers)]


def _sittings(cases: int, sets: int, random: np.random.Generator) -> tuple[Sitting, ...]:
    """A Latin square: row by case, column by sitting. Cases and sets take their places in it by lot."""
    rows, names = random.permutation(cases), random.permutation(sets)
    columns = _zigzag(sets)
    orders: list[list[int]] = []
    for _ in range(sets):
        orders.append(_order(cases, orders, random))
    return tuple(
        tuple(Place(case, int(names[(rows[case] + column) % sets])) for case in order)
        for column, order in zip(columns, orders, strict=True)
    )


def _zigzag(sets: int) -> list[int]:
    """0, 1, n - 1, 2, n - 2, ...: with an even number of sets each follows every other equally often (Williams)."""
    return [(place + 1) // 2 if place % 2 else -(place // 2) % sets for place in range(sets)]


def _order(cases: int, earlier: list[list[int]], random: np.random.Generator) -> list[int]:
    """One that is not there yet and does not begin with the case the last one ends with."""
    while True:
        order: list[int] = random.permutation(cases).tolist()
        if order not in earlier and not (earlier and order[0] == earlier[-1][-1]):
            return order
