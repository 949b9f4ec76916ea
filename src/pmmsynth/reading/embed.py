"""Clauses as vectors whose scalar product is their similarity: three ways, from words alone to a language model."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.preprocessing import normalize

from pmmsynth.errors import BadInput, UsageError

Vectors: TypeAlias = "csr_array | NDArray[np.float64]"
"""One row of length 1 per clause."""
Embedding = Callable[[Sequence[str]], Vectors]


def lexical(clauses: Sequence[str]) -> Vectors:
    """Bag of words: the share of words two clauses have in common, small and capital letters alike. Exact."""
    return csr_array(normalize(CountVectorizer(token_pattern=r"\d+(?:[.,]\d+)+|\w+").fit_transform(clauses)))


def ngrams(clauses: Sequence[str]) -> Vectors:
    """Runs of three to five characters within words, hashed: forms of one word are near each other. No weights."""
    hashing = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), n_features=2**20, alternate_sign=False)
    return csr_array(hashing.transform(clauses))


def sentence_model(name: str) -> Embedding:
    """A model of sentence-transformers; a folder is read without any network access, a name may be downloaded."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise UsageError(
            f"found --embedding {name} without sentence-transformers; expected the package; "
            "pip install 'pmmsynth[embedding]'"
        ) from error
    local = Path(name).is_dir()
    try:
        model: Any = SentenceTransformer(
            name,
            device="cpu",
            local_files_only=local,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},  # weights without pickle
        )
    except Exception as error:  # whatever its many layers raise
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadInput(
            f"{name}: {first}", "a model of sentence-transformers with safetensors", "check the name or folder"
        ) from error

    def embed(clauses: Sequence[str]) -> Vectors:
        vectors = model.encode(list(clauses), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float64)

    return embed


def embeddings(model: str | None = None) -> dict[str, Embedding]:
    """What is reported side by side, by name; `model` adds one of sentence-transformers."""
    found: dict[str, Embedding] = {"lexical": lexical, "ngrams": ngrams}
    if model is not None:
        found[Path(model).resolve().name if Path(model).is_dir() else model] = sentence_model(model)
    return found
