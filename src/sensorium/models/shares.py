"""Shares of classes: what a softmax makes of logits, and logits from the directions of labels in a space."""

import numpy as np
from jaxtyping import Float


def softmax(logits: Float[np.ndarray, "N labels"]) -> Float[np.ndarray, "N labels"]:
    """Rows of sum 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def directions(units: Float[np.ndarray, "N D"], labels: int) -> Float[np.ndarray, "labels D"]:
    """Of each label the mean of its unit vectors, which lie one after another, at length 1 (Radford et al. 2021, 3.1.4)."""
    means = units.reshape(labels, len(units) // labels, -1).mean(axis=1)
    return means / np.linalg.norm(means, axis=1, keepdims=True)
