"""The ReLU at the end of a network whose images are not negative, kept from dying."""

from torch import Tensor


def rectified(made: Tensor) -> Tensor:
    """max(made, 0), with the gradient of `made` itself.

    Most of an image is background, so the first steps push all of it below 0, where a plain ReLU learns nothing any
    more: with the usual initialisation and rate whole modalities stayed black. An L1 loss has no gradient where 0 was
    wanted, so the values below 0 are not driven further down.
    """
    return made + (made.relu() - made).detach()
