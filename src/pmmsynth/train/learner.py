"""The networks of a run with their optimizers, and the step by which they learn."""

from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from pmmsynth.data import Batch, Condition
from pmmsynth.errors import UsageError
from pmmsynth.methods import METHODS
from pmmsynth.nets.fuse import fuse
from pmmsynth.objective import Objective
from pmmsynth.train.checkpoint import Progress, TrainState
from pmmsynth.train.config import TrainConfig
from pmmsynth.train.distributed import average_gradients


@dataclass(frozen=True)
class Learner:
    """A generator and its adversary on a device.

    Attributes:
        fabric: Where and how they compute.
        generator: As Fabric wraps it.
        adversary: The same; None where a method, or a weight of 0, has none.
        objective: What they learn from.
        state: The networks themselves and their optimizers.
    """

    fabric: Fabric
    generator: nn.Module
    adversary: nn.Module | None
    objective: Objective
    state: TrainState

    @classmethod
    def build(cls, fabric: Fabric, config: TrainConfig, *, modalities: int, datasets: int, matrix: int) -> "Learner":
        """Fresh weights, a function of the seed. Raises UsageError if the method does not take this matrix."""
        method = METHODS[config.method]
        torch.manual_seed(config.seed)
        try:
            generator = config.architecture.build(modalities=modalities, datasets=datasets, matrix=matrix)
        except ValueError as error:  # not every method takes every matrix
            raise UsageError(
                f"found {error}; expected a store that fits the method; prepare with another --matrix"
            ) from error
        if config.fuse:
            fuse(generator)
        g_model, g_optimizer = fabric.setup(generator, adam(generator, config))
        adversary = d_model = d_optimizer = None
        if method.adversary and config.weights.adversarial:
            adversary = method.adversary(modalities=modalities, width=config.discriminator_width)
            d_model, d_optimizer = fabric.setup(adversary, adam(adversary, config))
        state = TrainState(generator, adversary, g_optimizer, d_optimizer, Progress())
        return cls(fabric, g_model, d_model, method.objective(config.weights), state)

    def set_rate(self, rate: float) -> None:
        """The learning rate of the steps to come."""
        for optimizer in (self.state.generator_optimizer, self.state.adversary_optimizer):
            for group in optimizer.param_groups if optimizer else ():
                group["lr"] = rate

    def step(self, batch: Batch, condition: Condition) -> dict[str, Tensor]:
        """One step of the generator, then one of its adversary.

        Gradients are those of the global batch, the returned losses those of this process.
        """
        if self.adversary:
            self.adversary.requires_grad_(False)
        with self.fabric.autocast():  # for what a loss calls besides `forward`
            outputs, losses = self.objective.generator_loss(self.generator, self.adversary, batch, condition)
        if losses["generator"].requires_grad:  # else the step has nothing to teach, as a modality alone one-to-one
            self.state.generator_optimizer.zero_grad(set_to_none=True)
            self.fabric.backward(losses["generator"])
            average_gradients(self.fabric, self.generator)
            self.state.generator_optimizer.step()

        if self.adversary and self.state.adversary_optimizer:
            self.adversary.requires_grad_(True)
            judged = self.objective.adversary_loss(self.adversary, outputs.detach(), batch, condition)
            if judged is not None:
                self.state.adversary_optimizer.zero_grad(set_to_none=True)
                self.fabric.backward(judged)
                average_gradients(self.fabric, self.adversary)
                self.state.adversary_optimizer.step()
                losses = {**losses, "discriminator": judged}
        return {name: value.detach() for name, value in losses.items()}


def adam(module: nn.Module, config: TrainConfig) -> torch.optim.Adam:
    """Adam over all parameters of a network in one pass (fused)."""
    return torch.optim.Adam(module.parameters(), lr=config.learning_rate, betas=config.betas, fused=True)
