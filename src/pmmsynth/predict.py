"""From given slices to wanted slices: the network, drawn towards regression where that is better, in [0, 1]."""

from collections.abc import Callable

import torch

from pmmsynth.modality import Task
from pmmsynth.model import ModelCard
from pmmsynth.tensors import Available, DatasetId, Images

SLICES_AT_ONCE = 16


Network = Callable[[Images, Available, DatasetId, Available], Images]
"""What computes, called as `nets.Generator.forward` is: the network, or the same function elsewhere."""


@torch.inference_mode()
def predict(
    generator: Network,
    card: ModelCard,
    images: Images,
    *,
    sources: tuple[str, ...],
    dataset: str,
    targets: tuple[str, ...],
    device: torch.device | str = "cpu",
    slices_at_once: int = SLICES_AT_ONCE,
) -> Images:
    """Synthesize the wanted modalities of a stack of slices of one case.

    Args:
        generator: A network in evaluation mode on `device`, or a backend.
        card: Of the generator; its shrinkage is applied.
        images: All channels; those that are not sources are not read.
        sources: Modalities given.
        dataset: Name of a dataset the model knows.
        targets: Modalities wanted; the channels of others come back as zeros.
        device: Where the generator is.
        slices_at_once: How many slices share a pass; changes memory, not the result.

    Returns:
        Float32 on the CPU, in [0, 1], not yet masked by the brain.
    """
    number = torch.tensor(card.dataset(dataset).id, device=device)
    given, wanted = card.mask(sources), card.mask(targets)
    parts = [
        generator(part.to(device), given, number, wanted).float().cpu() for part in torch.split(images, slices_at_once)
    ]
    outputs = torch.cat(parts).clamp_(0, 1)  # as the weights of the shrinkage are judged
    for target in targets:
        if target not in sources:
            _shrink(outputs, card, images, Task(sources, target), dataset)
    return outputs.clamp_(0, 1)


def _shrink(outputs: Images, card: ModelCard, images: Images, task: Task, dataset: str) -> None:
    """Draw one channel towards the regression, in place: y = r + weight (network - r)."""
    kept = (card.shrinkage or {}).get(str(task))
    if kept is None:
        return
    channel = card.modalities.index(task.target)
    outputs[:, channel] = regression(card, images, task, kept.regression[dataset]).lerp(
        outputs[:, channel], kept.weight
    )


def regression(card: ModelCard, images: Images, task: Task, coefficients: tuple[float, ...]) -> torch.Tensor:
    """r = a + sum of b_s x_s, (slice, row, column)."""
    constant, *slopes = coefficients
    given = images[:, [card.modalities.index(s) for s in task.sources]]
    return constant + (given * torch.tensor(slopes)[:, None, None]).sum(1)  # no matrix product: autocast would round it
