"""From given slices to wanted slices: batches of slices through the generator, clipped to [0, 1]."""

import torch

from pmmsynth.nets import PMMSynth
from pmmsynth.tensors import Available, Images

SLICES_AT_ONCE = 8


@torch.inference_mode()
def predict(
    generator: PMMSynth,
    images: Images,
    *,
    sources: Available,
    dataset: int,
    targets: Available,
    device: torch.device | str = "cpu",
    slices_at_once: int = SLICES_AT_ONCE,
) -> Images:
    """Synthesize the wanted modalities of a stack of slices of one case.

    Args:
        generator: In evaluation mode, on `device`.
        images: All channels; those that are not sources are not read.
        sources: SC.
        dataset: n.
        targets: Channels wanted; the others come back as zeros.
        device: Where the generator is.
        slices_at_once: How many slices share a pass; changes memory, not the result.

    Returns:
        Float32 on the CPU, in [0, 1], not yet masked by the brain.
    """
    number = torch.tensor(dataset, device=device)
    parts = [
        generator(part.to(device), sources, number, targets).float().clamp_(0, 1).cpu()
        for part in torch.split(images, slices_at_once)
    ]
    return torch.cat(parts)
