"""Settings of a training as a file."""

from dataclasses import replace
from pathlib import Path

import pytest

from pmmsynth.errors import UsageError
from pmmsynth.methods import METHODS
from pmmsynth.train import TrainConfig, tiny
from pmmsynth.train.config import paper


def test_a_file_keeps_what_it_was_made_from(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    for config in (tiny(), replace(tiny(), validation_tasks=("T1->T2",), betas=(0.9, 0.99))):
        path.write_text(config.toml())
        assert TrainConfig.read(path) == config


@pytest.mark.parametrize("method", METHODS)
def test_what_a_file_leaves_out_is_as_published(tmp_path: Path, method: str) -> None:
    """Width and weights are the method's own."""
    path = tmp_path / "config.toml"
    path.write_text(f"method = {method!r}\n")
    assert TrainConfig.read(path) == paper(method)
    path.write_text(f"method = {method!r}\nepochs = 60\n[weights]\nsynthesis = 0.5\n")
    changed = replace(METHODS[method].weights, synthesis=0.5)
    assert TrainConfig.read(path) == replace(paper(method), epochs=60, weights=changed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3\n", "epoch"),
        ("method = ['FTN']\n", "method"),
        ("method = 'GAN'\n", "method"),
        ("weights = 3\n", "weights"),
        ("method = 'FTN'\n[weights]\npixel = 1\n", "weights.pixel"),
        ("method = 'FTN'\n[weights]\nadversarial = 1\n", "weight of adversarial, a loss that FTN does not have"),
        ("method = 'MM-GAN'\n[weights]\nreconstruction = 1\n", "weight of reconstruction, a loss that MM-GAN does not"),
        ("method = 'FTN'\n[architecture]\nresidual_blocks = 3\n", "residual_blocks"),
    ],
)
def test_unknown_and_wrong_settings_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        TrainConfig.read(path)
