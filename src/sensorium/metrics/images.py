"""How far generated things are from real ones as a crowd: FID and KID, on the features of whichever encoder is given.

Both compare distributions and neither knows what a picture was to show. Their size depends on the encoder, so that numbers of
two encoders (and those of the Inception network of the literature) do not compare; and FID is too high for few samples.
"""

import numpy as np
from jaxtyping import Float

from sensorium.metrics.retrieval import Unmeasurable


def fid(generated: Float[np.ndarray, "N D"], real: Float[np.ndarray, "M D"]) -> float:
    """The Fréchet distance between the Gaussians that fit two sets of features (Heusel et al. 2017), 0 at best:
    |μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2·tr (Σ₁Σ₂)^½.

    The last trace is the sum of the singular values of R₁R₂ᵀ, of the triangles of the centred features, X = QR: no root of a
    matrix that is nearly singular is taken, so that few samples in many dimensions make no trouble either.
    """
    a, b = _checked(generated, real)
    means = np.square(a.mean(0) - b.mean(0)).sum()
    a, b = ((x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (a, b))
    first, second = (np.asarray(np.linalg.qr(x, mode="r")) for x in (a, b))
    cross = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    return float(max(means + np.square(a).sum() + np.square(b).sum() - 2 * cross, 0.0))


def mmd(generated: Float[np.ndarray, "N D"], real: Float[np.ndarray, "M D"]) -> float:
    """The unbiased estimate of the squared maximum mean discrepancy under the kernel (x·y/D + 1)³ (Bińkowski et al. 2018, eq. 4):
    0 in the mean for equal distributions, and so below 0 half of the time."""
    a, b = _checked(generated, real)
    return float(_others(_kernel(a, a)) + _others(_kernel(b, b)) - 2 * _kernel(a, b).mean())


def kid(
    generated: Float[np.ndarray, "N D"], real: Float[np.ndarray, "M D"], subsets: int = 100, size: int = 1000, seed: int = 0
) -> dict[str, float]:
    """`"kid"`, the mean of `mmd` over `subsets` draws of `size` rows from each, and `"kid/low"` and `"kid/high"`, between which
    95 % of the draws lie. Fewer rows than `size` are a `ValueError`: give a smaller one, and tell it with the number."""
    a, b = _checked(generated, real)
    if subsets < 1 or not 2 <= size <= min(len(a), len(b)):
        most = min(len(a), len(b))
        raise ValueError(f"{subsets} subsets of {size} of {len(a)} and {len(b)} rows: expected 1 or more, of 2 to {most} rows")
    rng = np.random.Generator(np.random.Philox(seed))
    drawn = [mmd(*(x[rng.choice(len(x), size, replace=False)] for x in (a, b))) for _ in range(subsets)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"kid": float(np.mean(drawn)), "kid/low": float(low), "kid/high": float(high)}


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _others(kernel: np.ndarray) -> float:
    """The mean over pairs of different rows."""
    n = len(kernel)
    return (kernel.sum() - np.trace(kernel)) / (n * (n - 1))


def _checked(generated: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    for name, x in (("generated", generated), ("real", real)):
        if len(x) < 2:
            raise Unmeasurable(f"{len(x)} {name} rows: a distribution needs two or more")
        if not np.isfinite(x).all():
            row = int(np.flatnonzero(~np.isfinite(x).all(1))[0])
            raise Unmeasurable(f"the features of {name} row {row} hold NaN or infinity")
    return np.asarray(generated, np.float64), np.asarray(real, np.float64)
