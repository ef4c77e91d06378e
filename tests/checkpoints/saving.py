"""Checkpoints whose arrays say of which step they are."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from sensorium.checkpoints.checkpoint import Checkpoints


def arrays(value: float) -> dict[str, jax.Array]:
    return {"model/w": jnp.full((3, 2), value), "count": jnp.asarray(int(value), jnp.int32)}


def save(checkpoints: Checkpoints, step: int, best: bool = False) -> None:
    checkpoints.save(step, arrays(step), {"at": step}, best=best)
    checkpoints.wait()


def check_whole(run: Path) -> int:
    """The step of the checkpoint that is loaded, once all in it was found to be of that step."""
    saved = Checkpoints(run).load()
    assert saved is not None and saved.about == {"at": saved.step}
    np.testing.assert_array_equal(saved.arrays["model/w"], np.full((3, 2), saved.step, np.float32))
    assert int(saved.arrays["count"]) == saved.step
    return saved.step
