"""Multinomial logistic regression to its optimum, and the penalty that suits it: the linear probe of Radford et al. 2021."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize
from scipy.special import logsumexp

COARSE = tuple(10.0**power for power in range(-6, 7, 2))
"""Penalties that are tried first, over the range of Radford et al. 2021, section A.3."""
FINEST = 1 / 8
"""Decades between the last two that are tried (ibid.: 8 steps a decade)."""
MOST = 1000
"""Iterations of L-BFGS (ibid.)."""


class Linear(NamedTuple):
    """Logits are x @ kernel + bias."""

    kernel: Float[np.ndarray, "D K"]
    bias: Float[np.ndarray, " K"]

    def logits(self, x: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N K"]:
        return x.astype(np.float64) @ self.kernel + self.bias


def logistic(
    x: Float[np.ndarray, "N D"], y: Int[np.ndarray, " N"], classes: int, penalty: float, start: Linear | None = None
) -> Linear:
    """The minimum of Σ −log p(y|x) + penalty/2 · Σ kernel², in float64 by full-batch L-BFGS (Liu & Nocedal 1989).

    The objective is convex and, with a penalty, has one minimum (up to a number added to all biases). `penalty` is 1/C of
    scikit-learn's LogisticRegression; biases carry none. `start`: a solution nearby, from which it is found sooner.
    """
    x = x.astype(np.float64)
    rows, width = x.shape
    centre = x.mean(axis=0)
    # About the root of the curvature in each feature's kernel: in units of it L-BFGS needs far fewer steps.
    unit = np.sqrt(np.maximum(x.var(axis=0) + 4 * penalty / rows, 1e-30))
    z, right = (x - centre) / unit, np.eye(classes)[y]

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        scaled, bias = flat[: width * classes].reshape(width, classes), flat[width * classes :]
        kernel = scaled / unit[:, None]
        logits = z @ scaled + bias
        logs = logits - logsumexp(logits, axis=1, keepdims=True)
        slope = np.exp(logs) - right
        value = -np.sum(logs * right) + 0.5 * penalty * np.sum(kernel * kernel)
        gradient = z.T @ slope + penalty * kernel / unit[:, None]
        return float(value) / rows, np.concatenate([gradient.ravel(), slope.sum(axis=0)]) / rows

    first = np.zeros((width + 1) * classes)
    if start is not None:
        first = np.concatenate([(start.kernel * unit[:, None]).ravel(), start.bias + centre @ start.kernel])
    found = minimize(objective, first, jac=True, method="L-BFGS-B", options={"maxiter": MOST, "ftol": 1e-15, "gtol": 1e-9})
    kernel = found.x[: width * classes].reshape(width, classes) / unit[:, None]
    return Linear(kernel, found.x[width * classes :] - centre @ kernel)


def best_penalty(
    x: Float[np.ndarray, "N D"],
    y: Int[np.ndarray, " N"],
    classes: int,
    others: Float[np.ndarray, "M D"],
    truths: Int[np.ndarray, " M"],
    coarse: Sequence[float] = COARSE,
) -> tuple[float, Linear]:
    """The penalty whose solution is right on most of `others` (the surer one, of several), and that solution.

    As Radford et al. 2021, section A.3: some penalties far apart, then on both sides of the best one by half the distance, and
    half of that, to `FINEST` decades.
    """
    tried: dict[float, tuple[tuple[float, float], Linear]] = {}

    def attempt(power: float, near: float | None) -> None:
        made = logistic(x, y, classes, 10.0**power, None if near is None else tried[near][1])
        logits = made.logits(others)
        sure = logits[np.arange(len(truths)), truths] - logsumexp(logits, axis=1)
        tried[power] = ((float(np.mean(logits.argmax(axis=1) == truths)), float(np.mean(sure))), made)

    near = None
    for power in sorted((float(np.log10(one)) for one in coarse), reverse=True):  # strong ones are found soonest, from nothing
        attempt(power, near)
        near = power
    gap = 1.0 if len(coarse) > 1 else 0.0
    while gap >= FINEST:
        best = max(tried, key=lambda power: tried[power][0])
        for power in (best - gap, best + gap):
            if power not in tried:
                attempt(power, best)
        gap /= 2
    best = max(tried, key=lambda power: tried[power][0])
    return 10.0**best, tried[best][1]
