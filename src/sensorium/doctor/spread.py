"""What is far from all the others: robust scores, which a few wild values do not move."""

import numpy as np
from jaxtyping import Bool, Float

FEWEST = 30
"""Of fewer things none is called unusual: their spread is not known."""
FAR = 8.0
"""Robust standard deviations. Of a normal sample of 10^5 the farthest has 4.4; heavy tails of real sizes reach 6."""


def outliers(values: Float[np.ndarray, " N"], least: float) -> Bool[np.ndarray, " N"]:
    """Which values lie more than `FAR` robust standard deviations (1.4826 MAD), and more than `least`, from the median."""
    if len(values) < FEWEST:
        return np.zeros(len(values), bool)
    away = np.abs(values - np.median(values))
    return (away > FAR * 1.4826 * np.median(away)) & (away > least)
