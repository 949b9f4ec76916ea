"""Settings of a training as a file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from phantoms import make_store
from pmmsynth.console import Reporter
from pmmsynth.data import Condition
from pmmsynth.errors import UsageError
from pmmsynth.methods import METHODS
from pmmsynth.objective import Objective
from pmmsynth.tensors import Available
from pmmsynth.train import TrainConfig, tiny, train
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


def test_learning_is_the_rate_summed_over_time() -> None:
    config = replace(tiny(), epochs=10, constant_epochs=4)  # 4 at full rate and 6 that fall: as much as 7
    assert [config.learned(epoch) for epoch in (0, 2, 4, 10)] == pytest.approx([0, 2 / 7, 4 / 7, 1])
    assert config.learned(7) == pytest.approx((4 + 2.25) / 7)  # from 1 to 1/2 over 3 epochs
    steps = np.arange(0, 10, 1 / 1000)
    rates = np.cumsum([config.rate(step + 1 / 2000) for step in steps])
    assert [config.learned(step + 1 / 1000) for step in steps] == pytest.approx(rates / rates[-1], abs=1e-6)
    assert replace(config, constant_epochs=10).learned(5) == 0.5
    assert replace(config, constant_epochs=0).learned(5) == 0.75


def test_a_curriculum_goes_by_what_is_learned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So that a rate that falls leaves the last part of it as much learning as the first."""
    shares: list[float] = []

    def draw(self: Objective, available: Available, random: np.random.Generator, share: float) -> Condition:
        shares.append(share)
        return Condition(available, available)

    monkeypatch.setattr(Objective, "draw", draw)
    store = make_store(tmp_path / "store", {"A": [("train", ["T1", "T2"]), ("val", ["T1", "T2"])]})
    config = replace(tiny(), epochs=2, constant_epochs=1, batch_size=4)
    train(store, tmp_path / "run", config, reporter=Reporter(quiet=True))
    steps = len(shares) // 2
    assert shares == pytest.approx([config.learned(number / steps) for number in range(2 * steps)])
