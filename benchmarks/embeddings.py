"""How near each embedding puts clauses that say the same in other words, and clauses that do not.

Usage: python benchmarks/embeddings.py [MODEL]

MODEL is a model of sentence-transformers, a folder or a name, beside the two embeddings that need none. The pairs are
those of tests/reading/pairs.csv. `nearest` is how often a clause's own paraphrase is the nearest of all.
"""

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pmmsynth.reading.embed import Embedding, embeddings

PAIRS = Path(__file__).parents[1] / "tests" / "reading" / "pairs.csv"
FINDING, OTHERS = "no midline shift", ("midline shift", "midline structures are not displaced")
"""Its negation, and the same in other words."""


def main(model: str | None = None) -> None:
    """Print the table."""
    print(f"| embedding | paraphrases | wrong pairs | nearest | {' | '.join(f'{FINDING} / {o}' for o in OTHERS)} |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, embedding in embeddings(model).items():
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in measured(embedding))} |")


def measured(embedding: Embedding) -> Iterator[float]:
    """Mean cosine of the pairs, of all wrong pairings, share of nearest ones, and cosines of FINDING."""
    with PAIRS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    cosines = between(embedding, [r["one"] for r in rows], [r["other"] for r in rows])
    yield float(cosines.diagonal().mean())
    yield float(cosines[~np.eye(len(cosines), dtype=bool)].mean())
    yield float((cosines.argmax(1) == np.arange(len(cosines))).mean())
    yield from between(embedding, [FINDING], OTHERS)[0]


def between(embedding: Embedding, one: Sequence[str], other: Sequence[str]) -> np.ndarray:
    """Cosines of every clause with every other."""
    vectors = embedding([*one, *other])
    product = vectors[: len(one)] @ vectors[len(one) :].T
    return np.asarray(product.toarray() if hasattr(product, "toarray") else product)


if __name__ == "__main__":
    main(*sys.argv[1:])
