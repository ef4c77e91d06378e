"""Optimizers with the schedule that goes with them."""

import jax
import optax


def adamw(
    lr: float, steps: int, *, warmup: int | None = None, weight_decay: float = 0.0, b2: float = 0.98
) -> optax.GradientTransformation:
    """AdamW (Loshchilov & Hutter 2019) with a linear warm-up and a cosine decay to a hundredth; only matrices decay."""
    warmup = min(steps // 10, 100) if warmup is None else warmup
    schedule = optax.warmup_cosine_decay_schedule(0.0, lr, max(warmup, 1), max(steps, 2), lr / 100)
    return optax.adamw(schedule, b2=b2, weight_decay=weight_decay, mask=_matrices)


def _matrices(parameters):
    return jax.tree.map(lambda x: x.ndim > 1, parameters)
