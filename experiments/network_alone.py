"""Copy a model folder without its shrinkage, to score what the network does alone.

Command: python experiments/network_alone.py runs/glioma/run runs/glioma/network
"""

import sys
from pathlib import Path

from pmmsynth.model import load_model, save_model


def main(source: str, out: str) -> None:
    generator, card = load_model(Path(source))
    save_model(Path(out), generator, card.model_copy(update={"shrinkage": {}}))


if __name__ == "__main__":
    main(*sys.argv[1:])
