"""In which numbers a model computes. Its parameters are kept in float32, whatever it computes in."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from sensorium.core.errors import UnknownName, nearest

PRECISIONS = ("auto", "float32", "bfloat16")


def policy(precision: str) -> DTypeLike | None:
    """The type to compute in, or None for the parameters' own: "auto" is bfloat16 where the first device multiplies it natively.

    Those are TPUs, and GPUs from compute capability 8.0 on; a CPU would only emulate it.
    """
    if precision not in PRECISIONS:
        raise UnknownName(f"there is no precision {precision!r}.{nearest(precision, PRECISIONS)}")
    return jnp.bfloat16 if precision == "bfloat16" or (precision == "auto" and _native(jax.devices()[0])) else None


def lowered(arrays: dict[str, jax.Array], dtype: DTypeLike | None) -> dict[str, jax.Array]:
    """The float32 arrays in another type; scalars (a temperature, a bias of logits) stay as they are."""
    if dtype is None:
        return arrays
    return {name: x.astype(dtype) if x.ndim and x.dtype == jnp.float32 else x for name, x in arrays.items()}


def _native(device: Any) -> bool:
    if device.platform == "gpu":
        return float(getattr(device, "compute_capability", "0")) >= 8.0
    return device.platform == "tpu"
