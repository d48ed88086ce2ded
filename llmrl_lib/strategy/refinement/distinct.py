"""Which of many rules differ most: clustered by their words, or by a model's embeddings, and one taken of each cluster.

Agglomerative clustering with average linkage on cosine distances (scikit-learn), of TF-IDF weights of words and of up
to four neighbours unless embeddings are given. Of more clusters than are wanted, those are taken that lie farthest apart,
beginning with the largest (Gonzalez 1985).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from llmrl_lib.strategy.refinement.errors import RefinementError
from llmrl_lib.strategy.refinement.knowledge import KnownLine

NEAR = 0.4  # cosine distance within which rules say the same
WORDS = 4  # neighbours that count together: "high x is bullish" is not "high x is bearish, low x is bullish"

Embed = Callable[[Sequence[str]], np.ndarray]  # texts to vectors, (text, dimension)


def distinct(texts: Sequence[str], most: int = 10, embed: Embed | None = None) -> tuple[KnownLine, ...]:
    """At most `most` of the texts, each with how many of all say about the same; the most often said first.

    Each stands for its cluster as the text nearest to the cluster's mean. Raises RefinementError for embeddings of another
    number, or that are not finite or zero.
    """
    times = Counter(texts)
    unique = list(times)
    if len(unique) < 2:
        return tuple(KnownLine(text, count) for text, count in times.items())
    vectors = _unit(tf_idf(unique) if embed is None else np.asarray(embed(unique), "float64"), len(unique))
    groups = _clusters(vectors)
    weights = np.array([times[text] for text in unique], "float64")
    said = [int(weights[group].sum()) for group in groups]
    middles = np.array([np.average(vectors[group], axis=0, weights=weights[group]) for group in groups])
    found = []
    for place in _farthest(_unit(middles, len(groups)), said, most):
        group = groups[place]
        nearest = group[int(np.argmax(vectors[group] @ middles[place]))]
        found.append(KnownLine(unique[nearest], said[place]))
    return tuple(sorted(found, key=lambda line: -line.said))


def tf_idf(texts: Sequence[str]) -> np.ndarray:
    """Weights of words and of neighbouring words, (text, term); names of fields are words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return np.asarray(
        TfidfVectorizer(ngram_range=(1, WORDS), token_pattern=r"\w+", sublinear_tf=True).fit_transform(texts).toarray()
    )


def _clusters(vectors: np.ndarray) -> list[np.ndarray]:
    from sklearn.cluster import AgglomerativeClustering

    model: Any = AgglomerativeClustering(n_clusters=None, metric="cosine", linkage="average", distance_threshold=NEAR)
    labels = model.fit_predict(vectors)
    return [np.flatnonzero(labels == label) for label in dict.fromkeys(labels.tolist())]


def _farthest(middles: np.ndarray, said: Sequence[int], most: int) -> list[int]:
    """Places of clusters: the largest, then again and again the one farthest from all taken; of equals the larger."""
    sizes = np.array(said)
    taken = [int(sizes.argmax())]
    distance = 1.0 - middles @ middles[taken[0]]
    while len(taken) < min(most, len(middles)):
        distance[taken] = -1.0
        best = distance.max()
        nearly = np.flatnonzero(distance >= best - 1e-9)
        taken.append(int(nearly[sizes[nearly].argmax()]))
        distance = np.minimum(distance, 1.0 - middles @ middles[taken[-1]])
    return taken


def _unit(vectors: np.ndarray, count: int) -> np.ndarray:
    """Vectors of length 1."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True) if vectors.ndim == 2 else np.zeros(1)
    if vectors.ndim != 2 or len(vectors) != count or not np.isfinite(vectors).all() or not (lengths > 0).all():
        raise RefinementError(
            f"the embeddings have the shape {vectors.shape} for {count} texts, or are not all finite and above 0; "
            "use another embedding model, or none"
        )
    return np.asarray(vectors / lengths)
