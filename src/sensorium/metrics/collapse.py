"""Whether a model still hears all of its modalities: what a falling loss does not tell."""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

Units = Mapping[str, Float[np.ndarray, "N D"]]


def spread(units: Float[np.ndarray, "N D"]) -> dict[str, float]:
    """How much of its sphere a modality uses: `cosine`, the mean between different rows (0 where they are spread evenly, 1 where
    all are one), and `dimensions`, the effective rank: the exponential of the entropy of the spectrum (Roy & Vetterli 2007)."""
    x = np.asarray(units, np.float64)
    n = len(x)
    if n < 2:
        raise ValueError(f"{n} rows: at least 2 are needed to tell a spread")
    cosine = (np.square(x.sum(0)).sum() - np.square(x).sum()) / (n * (n - 1))
    energy = np.square(np.linalg.svd(x - x.mean(0), compute_uv=False))
    share = energy / max(energy.sum(), 1e-30)
    return {"cosine": float(cosine), "dimensions": float(np.exp(-(share * np.log(np.maximum(share, 1e-30))).sum()))}


def gap(a: Float[np.ndarray, "N D"], b: Float[np.ndarray, "M D"]) -> float:
    """The distance between the centres of two modalities on the unit sphere (Liang et al. 2022, eq. 1): 0 to 2."""
    return float(np.linalg.norm(np.mean(a, axis=0, dtype=np.float64) - np.mean(b, axis=0, dtype=np.float64)))


def centred(units: Float[np.ndarray, "N D"], of: Float[np.ndarray, "M D"] | None = None) -> Float[np.ndarray, "N D"]:
    """Unit vectors without what their modality has in common: less its mean, that of `of` (by default of themselves), and of
    length 1 again. It all but closes the gap: vectors of two modalities have cosines around 0 then, but for pairs."""
    x = units - np.mean(units if of is None else of, axis=0, dtype=np.float64)
    return (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)).astype(units.dtype)


def reliance(
    predict: Callable[[dict[str, np.ndarray]], np.ndarray], batch: Mapping[str, np.ndarray], names: list[str], seed: int = 0
) -> dict[str, float]:
    """How much the output of a model changes when one modality is shuffled between the rows: 0 where it is not heard at all.

    It is |changed − whole|² over the variance of the output: about 2 where the modality alone decides (permutation importance,
    Breiman 2001). `<name>/…` parts go with their modality.
    """
    rows = len(next(iter(batch.values())))
    if rows < 2:
        raise ValueError(f"a batch of {rows} rows: at least 2 are needed to shuffle")
    order = np.random.default_rng(seed).permutation(rows)
    turn = np.empty(rows, np.int64)
    turn[order] = np.roll(order, 1)  # no row keeps its own
    whole = np.asarray(predict(dict(batch)), np.float64)
    around = max(np.square(whole - whole.mean(0)).sum(), 1e-30)
    shuffled = {name: {k: v[turn] if k.split("/")[0] == name else v for k, v in batch.items()} for name in names}
    return {name: float(np.square(np.asarray(predict(x)) - whole).sum() / around) for name, x in shuffled.items()}
