"""Is a joint autoencoder as sure as it should be? Posteriors, imputations and intervals against their closed forms.

The data are the copies of the guide's latent (latent/copies): three senses, each of which tells the 32 numbers of one latent
with calibrated noise; pictures and sounds add nothing to that but a fixed map. So the posterior of the latent, the evidence of
every set of senses, and what one sense says of another (latent/observer) are known. Of each way to join experts it tells by how
many nats the bound lies below the evidence, how wide the posterior is of one and of all senses beside how wide it should be,
how far the imputed mean is from the ideal observer's, and how often intervals of 50, 80 and 95 % hold the truth.
Writes results/joint.json.
Run: python benchmarks/joint.py [--steps 1500] (about two minutes)
"""

import argparse
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from common.record import write
from flax import nnx

from sensorium.core.encoding import Encoding
from sensorium.decoders import GridLikelihood
from sensorium.latent.copies import DIMENSIONS, copies
from sensorium.latent.observer import posterior
from sensorium.latent.words import Language
from sensorium.losses import Elbo, total
from sensorium.models import JointVAE
from sensorium.models.joint_vae import JOINTS

SENSES, STRENGTH, ROWS, HELD_OUT, DRAWS = ("image", "audio", "sensor"), 0.8, 256, 2000, 200
ONE = STRENGTH**2 / (1 - STRENGTH**2)
"""The precision that one sense adds to that of the prior."""
Batch = dict[str, jax.Array]


class Copies(nnx.Module):
    """An encoder that hands on what it is given: the coordinates of a copy."""

    pooled_width = DIMENSIONS

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        return {}

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> tuple["Copies", jax.Array]:
        return cls(), jax.random.normal(rngs.data(), (2, DIMENSIONS, 1))

    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> Encoding:
        return Encoding(x, jnp.ones(x.shape[:2], bool), x[:, :, 0])


def told(key: jax.Array, rows: int) -> Batch:
    keys = jax.random.split(key)
    latent = jax.random.normal(keys[0], (rows, DIMENSIONS))
    return {sense: copies(latent, STRENGTH, sense, keys[1])[:, :, None] for sense in SENSES}


def trained(joint: str, steps: int) -> JointVAE:
    rngs = nnx.Rngs(0)
    decoders = {sense: GridLikelihood(DIMENSIONS, (DIMENSIONS,), 1, (DIMENSIONS,), 32, rngs=rngs) for sense in SENSES}
    model = JointVAE({sense: Copies() for sense in SENSES}, decoders, DIMENSIONS, joint, rngs=rngs)
    graph, state = nnx.split(model)
    rule = optax.adam(optax.cosine_decay_schedule(1e-2, steps))
    losses = {"evidence": (1.0, Elbo(SENSES))}

    def step(carry, i):
        state, memory = carry
        key, batch = jax.random.fold_in(jax.random.key(1), i), told(jax.random.fold_in(jax.random.key(2), i), ROWS)
        slope = jax.grad(lambda state: total(losses, nnx.merge(graph, state)(batch, key), batch)[0])(state)
        change, memory = rule.update(slope, memory, state)
        return (optax.apply_updates(state, change), memory), None

    start = (state, rule.init(state))
    return nnx.merge(graph, jax.jit(lambda start: jax.lax.scan(step, start, jnp.arange(steps))[0][0])(start))


def evidence(batch: Batch) -> np.ndarray:
    """ln p of all senses of each row: their coordinates are normal, and correlate by strength²."""
    x = np.stack([np.asarray(one)[..., 0] for one in batch.values()], axis=2).astype(np.float64)
    correlation = STRENGTH**2 + (1 - STRENGTH**2) * np.eye(x.shape[2])
    square = np.einsum("bdm,mn,bdn->b", x, np.linalg.inv(correlation), x)
    return -0.5 * (square + DIMENSIONS * np.linalg.slogdet(2 * np.pi * correlation)[1])


def measured(model: JointVAE, batch: Batch) -> dict[str, Any]:
    graph, state = nnx.split(model)
    infer = jax.jit(lambda state, batch: nnx.merge(graph, state).infer(batch))
    bound = jax.jit(lambda state, batch, key: nnx.merge(graph, state).evidence(batch, key))(state, batch, jax.random.key(0))
    one = {"image": batch["image"]}
    found = jax.jit(lambda state, batch, key: nnx.merge(graph, state).impute(batch, ("audio",), key, DRAWS)["audio"])(
        state, one, jax.random.key(1)
    )
    mean, variance = posterior(np.asarray(one["image"])[..., 0], False, STRENGTH**2, Language())
    truth, covered = np.asarray(batch["audio"]), {}
    for share in (0.5, 0.8, 0.95):
        low, high = found.interval(share)
        covered[str(share)] = round(float(np.mean((truth >= low) & (truth <= high))), 4)
    width = lambda batch: round(float(np.mean(infer(state, batch).deviation)), 4)  # noqa: E731
    return {
        "nats_below_the_evidence": round(float(np.mean(evidence(batch) - np.asarray(bound))), 3),
        "posterior_of_one": {"deviation": width(one), "true": round((1 + ONE) ** -0.5, 4)},
        "posterior_of_all": {"deviation": width(batch), "true": round((1 + len(SENSES) * ONE) ** -0.5, 4)},
        "imputed_mean_away_from_the_ideal": round(float(np.sqrt(np.mean((np.asarray(found.mean)[..., 0] - mean) ** 2))), 4),
        "imputed": {"deviation": round(float(found.deviation.mean()), 4), "true": round(float(np.sqrt(variance.mean())), 4)},
        "covered": covered,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500)
    steps = parser.parse_args().steps
    batch, out = told(jax.random.key(3), HELD_OUT), {}
    for joint in JOINTS:
        out[joint] = measured(trained(joint, steps), batch)
        print(joint, out[joint])
    write("joint", {"steps": steps, "strength": STRENGTH, "rows": ROWS, "joints": out})


if __name__ == "__main__":
    main()
