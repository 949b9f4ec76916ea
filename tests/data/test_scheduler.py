"""What the Modality-Consistent Batch Scheduler promises, for any cohort."""

from collections import Counter
from itertools import chain, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pmmsynth.data import ModalityConsistentBatchScheduler

groups_of_samples = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=80)
sizes = st.integers(1, 9)


def scheduler(groups: list[tuple[int, int]], size: int, **more: int) -> ModalityConsistentBatchScheduler:
    return ModalityConsistentBatchScheduler(groups, batch_size=size, seed=more.pop("seed", 0), **more)


@given(groups_of_samples, sizes)
def test_batches_are_whole_uniform_and_complete(groups: list[tuple[int, int]], size: int) -> None:
    batches = list(scheduler(groups, size))
    assert all(len(batch) == size for batch in batches)
    assert all(len({groups[i] for i in batch}) == 1 for batch in batches)
    drawn = Counter(i for batch in batches for i in batch)
    assert set(drawn) == set(range(len(groups)))  # nothing lost
    for group, members in Counter(groups).items():  # padded from itself, up to the next multiple, no further
        total = sum(n for i, n in drawn.items() if groups[i] == group)
        assert total == -(-members // size) * size
    assert len(batches) == scheduler(groups, size).steps == len(scheduler(groups, size))


@given(groups_of_samples, sizes, st.integers(0, 5))
def test_order_depends_on_seed_and_epoch_alone(groups: list[tuple[int, int]], size: int, epoch: int) -> None:
    one, other = scheduler(groups, size, seed=7), scheduler(groups, size, seed=7)
    list(one)  # having run before does not matter
    one.start(epoch)
    other.start(epoch)
    assert list(one) == list(other)


@settings(max_examples=30)
@given(groups_of_samples, sizes, st.integers(1, 4))
def test_ranks_share_each_step(groups: list[tuple[int, int]], size: int, world: int) -> None:
    together = list(scheduler(groups, size * world))
    apart = [list(scheduler(groups, size, rank=rank, world_size=world)) for rank in range(world)]
    assert [list(chain(*parts)) for parts in zip(*apart, strict=True)] == together  # disjoint parts of one global batch


@given(groups_of_samples, sizes, st.data())
def test_an_epoch_can_be_entered_anywhere(groups: list[tuple[int, int]], size: int, data: st.DataObject) -> None:
    whole = list(scheduler(groups, size))
    first = data.draw(st.integers(0, len(whole)))
    resumed = scheduler(groups, size)
    resumed.start(0, first)
    assert list(resumed) == whole[first:]


def test_epochs_and_seeds_differ() -> None:
    groups = [(0, 0)] * 50 + [(1, 0)] * 50
    one = scheduler(groups, 4)
    first = list(one)
    one.start(1)
    assert list(one) != first
    assert list(scheduler(groups, 4, seed=1)) != first
    assert any(groups[a[0]] != groups[b[0]] for a, b in pairwise(first))  # groups are mixed
