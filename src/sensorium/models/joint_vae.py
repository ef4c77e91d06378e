"""All fields from one latent, and the latent from any of them: a variational autoencoder over several modalities."""

from collections.abc import Mapping, Sequence
from itertools import product as every
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Bool, Float

from sensorium.core.encoding import Encoder, encoded
from sensorium.core.randomness import named
from sensorium.decoders.likelihood import LIKELIHOODS, Imputed, Likelihood
from sensorium.encoders import ENCODERS
from sensorium.models.space import Outputs
from sensorium.nn.gaussian import Gaussian, divergence, mixed, mixed_log_density, moments, product, standard
from sensorium.nn.norms import unit

JOINTS = ("product", "mixture", "subsets")
WIDEST = 10.0
"""The log of an expert's variance stays within ± this, softly: its exponential would soon be no number."""
MOST_FIELDS = 8


class JointVAE(nnx.Module):
    """Batch -> for each field `"<field>/nats"` f32[B W], −ln p(field | z) for each of W draws of z, and how much each of
    them counts, `"<field>/share"` f32[B W]; `"joint/kl"` f32[B W], KL(q ‖ prior), and `"joint/share"` f32[B W]. `losses.Elbo`
    sums them up. And `"<field>/unit"` f32[B D], the direction of what the field alone says of the latent.

    The prior is standard normal. Every field has an encoder and, of what it pools, an expert: a normal distribution that
    multiplies the prior. `joint` says how the experts of the fields that a row has make its posterior:

    - "product": the product of all of them (Wu & Goodman 2018, MVAE). So that each set of fields is read well by itself, W − 1
      random sets of a row's fields are trained beside all of them, each on the evidence of its own fields. That is what makes
      `infer` and `impute` calibrated: at the optimum of each set, q(z | some fields) is p(z | some fields).
    - "mixture": the mean of the fields' own posteriors (Shi et al. 2019, MMVAE); each has to decode all fields.
    - "subsets": the mean over all sets of fields of the product in each (Sutter et al. 2021, MoPoE), of which W random sets a
      row are trained; each has to decode all fields.

    Where each has to decode all, the posterior of a few fields is not that of the model, and intervals come out too wide
    (benchmarks/joint.py). The KL of the mixtures is the mean of that of their parts, which is no less, as it is convex: the bound
    is looser, and holds.
    Without a key, z is the mean of each part. A field that a row lacks, by `"<field>/here"`, counts nowhere.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        decoders: Mapping[str, Likelihood],
        latent: int,
        joint: str = "product",
        ways: int = 2,
        *,
        rngs: nnx.Rngs,
    ):
        if encoders.keys() != decoders.keys() or not 1 <= len(encoders) <= MOST_FIELDS:
            told = f"encoders of {sorted(encoders)}, decoders of {sorted(decoders)}"
            raise ValueError(f"{told}: expected both of the same fields, {MOST_FIELDS} at most")
        if joint not in JOINTS or ways < 1:
            raise ValueError(f"joint={joint!r}, ways={ways}: expected one of {', '.join(JOINTS)}, and one way or more")
        self.encoders, self.decoders = nnx.Dict(dict(encoders)), nnx.Dict(dict(decoders))
        widths = {name: encoder.pooled_width for name, encoder in encoders.items()}
        self.experts = nnx.Dict({name: nnx.Linear(width, 2 * latent, rngs=rngs) for name, width in widths.items()})
        self.width, self.joint, self.ways = latent, joint, ways

    @classmethod
    def build(
        cls,
        encoders: Mapping[str, Mapping[str, Any]],
        decoders: Mapping[str, Mapping[str, Any]],
        latent: int,
        *,
        rngs: nnx.Rngs,
        **dials: Any,
    ) -> "JointVAE":
        """The model that JSON describes: `encoders[field]` names an encoder of `ENCODERS` and holds its arguments, and
        `decoders[field]` one of `LIKELIHOODS`, without its `latent`."""
        read = {name: ENCODERS[said["encoder"]](**_but(said, "encoder"), rngs=rngs) for name, said in encoders.items()}
        made = {name: LIKELIHOODS[said["decoder"]](latent, **_but(said, "decoder"), rngs=rngs) for name, said in decoders.items()}
        return cls(read, made, latent, **dials, rngs=rngs)

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self.encoders)

    def settle(self) -> None:
        """Called after every update: the likelihoods hold their deviations within bounds."""
        for decoder in self.decoders.values():
            decoder.settle()

    def __call__(self, batch: dict[str, jax.Array], key: jax.Array | None = None) -> Outputs:
        here, experts = self._here(batch), self._experts(batch)
        chosen, weights = self._ways(here, None if key is None else named(key, "ways"))
        about = product(experts, chosen)
        z = about.mean if key is None else about.draw(named(key, "latent"))
        flat = z.reshape(z.shape[0] * z.shape[1], self.width)
        out: Outputs = {"joint/kl": divergence(about), "joint/share": weights}
        for i, name in enumerate(self.fields):
            if name in batch:
                counted = chosen[:, :, i] if self.joint == "product" else jnp.broadcast_to(here[:, i, None], weights.shape)
                out[f"{name}/nats"] = self._nats(name, batch, flat).reshape(weights.shape)
                out[f"{name}/share"] = jnp.where(counted, weights, 0.0)
                alone = product(Gaussian(*(x[:, i : i + 1] for x in experts)), here[:, i : i + 1, None])
                out[f"{name}/unit"] = unit(alone.mean[:, 0])
        return out

    def all_outputs(self, batch: dict[str, jax.Array]) -> Outputs:
        """For those who compare: beside what a call gives, `"joint/mean"` and `"joint/log_variance"` f32[B D]."""
        mean, log_variance = self.infer(batch)
        return self(batch) | {"joint/mean": mean, "joint/log_variance": log_variance}

    def infer(self, batch: dict[str, jax.Array]) -> Gaussian:
        """What the fields of each row that are there say of its latent: f32[B D]. Of a mixture, its mean and variance."""
        return moments(*self._posterior(batch))

    def generate(self, z: Float[jax.Array, "B D"], key: jax.Array | None = None) -> dict[str, jax.Array]:
        """Every field of each latent: the likeliest, or with a key texts whose words are drawn. Pictures are f32 in [-1, 1]."""
        keys = {name: None if key is None else named(key, name) for name in self.fields}
        return {name: decoder.generate(z, keys[name]) for name, decoder in self.decoders.items()}

    def impute(self, batch: dict[str, jax.Array], missing: Sequence[str], key: jax.Array, draws: int = 64) -> dict[str, Imputed]:
        """What the fields `missing` may be, given all others of the batch that are there: `draws` samples of each, by latents
        that are drawn from the posterior, with mean and spread. What the batch holds of the missing ones is not looked at."""
        if not missing or any(name not in self.fields for name in missing):
            raise ValueError(f"missing={list(missing)}: expected some of the fields {', '.join(self.fields)}")
        if draws < 1:
            raise ValueError(f"draws={draws}: expected 1 or more")
        given = {key: x for key, x in batch.items() if key.split("/")[0] not in missing}
        if not any(name in given for name in self.fields):
            raise ValueError(f"a batch of {sorted(batch)} without {list(missing)} has no field left: draw latents for `generate`")
        parts, weights = self._posterior(given)
        z = jax.vmap(lambda one: mixed(parts, weights, one))(jax.random.split(named(key, "latent"), draws))
        return {name: self.decoders[name].impute(z, named(key, name)) for name in missing}

    def evidence(self, batch: dict[str, jax.Array], key: jax.Array, draws: int = 1) -> Float[jax.Array, " B"]:
        """A lower bound of ln p(all fields that a row has), in nats (Burda et al. 2016, IWAE, eq. 8): with one draw a sample of
        the ELBO; with more, the closer the more. A row without any field has 0."""
        here, (parts, weights) = self._here(batch), self._posterior(batch)

        def once(one: jax.Array) -> jax.Array:
            z = mixed(parts, weights, one)
            ratio = standard(z.shape).log_density(z) - mixed_log_density(parts, weights, z)
            told = [jnp.where(here[:, i], self._nats(name, batch, z), 0.0) for i, name in enumerate(self.fields) if name in batch]
            return ratio - sum(told, jnp.zeros(len(z)))

        found = jax.lax.map(once, jax.random.split(key, draws))
        bound = jax.scipy.special.logsumexp(found, axis=0) - jnp.log(jnp.float32(draws))
        return jnp.where(jnp.any(here, axis=1), bound, 0.0)

    def _nats(self, name: str, batch: dict[str, jax.Array], z: Float[jax.Array, "N D"]) -> Float[jax.Array, " N"]:
        """Of a field, for one or more latents of each row, one after another."""
        times = len(z) // len(batch[name])
        x, mask = _real(batch, name)
        mask = None if mask is None else jnp.repeat(mask, times, axis=0)
        return self.decoders[name].nats(z, jnp.repeat(x, times, axis=0), mask)

    def _here(self, batch: dict[str, jax.Array]) -> Bool[jax.Array, "B M"]:
        rows = next(len(batch[name]) for name in self.fields if name in batch)
        absent = jnp.zeros(rows, bool)
        there = [batch.get(f"{name}/here", ~absent) if name in batch else absent for name in self.fields]
        return jnp.stack([jnp.asarray(one) for one in there], axis=1)

    def _experts(self, batch: dict[str, jax.Array]) -> Gaussian:
        """What each field multiplies the prior by: [B M D]."""
        rows, found = len(self._here(batch)), []
        for name, encoder in self.encoders.items():
            if name in batch:
                x, mask = _real(batch, name)
                pooled = encoded(encoder, batch | {name: x} | ({} if mask is None else {f"{name}/mask": mask}), name).pooled
                mean, log_variance = jnp.split(self.experts[name](pooled).astype(jnp.float32), 2, axis=1)
                found.append(Gaussian(mean, WIDEST * jnp.tanh(log_variance / WIDEST)))
            else:
                found.append(standard((rows, self.width)))
        return Gaussian(*(jnp.stack(part, axis=1) for part in zip(*found, strict=True)))

    def _posterior(self, batch: dict[str, jax.Array]) -> tuple[Gaussian, Float[jax.Array, "B K"]]:
        """The parts of each row's posterior [B K D] and their weights; of a row without any field, the prior."""
        here = self._here(batch)
        if self.joint == "product":
            return product(self._experts(batch), here[:, None]), jnp.ones((len(here), 1))
        chosen, weights = _within(self._sets(), here)
        first = jnp.arange(weights.shape[1])[None] == 0
        weights = jnp.where(jnp.any(here, axis=1)[:, None], weights, first.astype(jnp.float32))
        return product(self._experts(batch), chosen & here[:, None]), weights

    def _ways(
        self, here: Bool[jax.Array, "B M"], key: jax.Array | None
    ) -> tuple[Bool[jax.Array, "B W M"], Float[jax.Array, "B W"]]:
        """The sets of fields that are decoded from in training, and their weights, which sum to 1 where a row has any field."""
        some = jnp.any(here, axis=1)[:, None]
        sets = self._sets()
        if self.joint == "mixture" or (self.joint == "subsets" and key is None):
            return _within(sets, here)
        if key is None:
            return here[:, None], some.astype(jnp.float32)
        drawn = self.ways - (self.joint == "product")
        possible, chances = _within(sets, here)
        lots = jax.random.categorical(key, jnp.log(jnp.maximum(chances, 1e-30))[:, None], axis=2, shape=(len(here), drawn))
        chosen = jnp.take_along_axis(possible, lots[:, :, None], axis=1)
        if self.joint == "product":
            chosen = jnp.concatenate([here[:, None], chosen], axis=1)
        return chosen & here[:, None], jnp.where(some, jnp.full(chosen.shape[:2], 1.0 / self.ways), 0.0)

    def _sets(self) -> Bool[np.ndarray, "K M"]:
        """The sets of fields that a mixture is over: each alone, or all that are not empty."""
        count = len(self.fields)
        if self.joint == "mixture":
            return np.eye(count, dtype=bool)
        return np.array(list(every((False, True), repeat=count)))[1:]


def _within(
    sets: Bool[np.ndarray, "K M"], here: Bool[jax.Array, "B M"]
) -> tuple[Bool[jax.Array, "B K M"], Float[jax.Array, "B K"]]:
    """The sets for each row, and a weight for each: equal for those whose fields the row has, else 0."""
    chosen = jnp.broadcast_to(jnp.asarray(sets)[None], (len(here), *sets.shape))
    fits = jnp.all(here[:, None] | ~chosen, axis=2).astype(jnp.float32)
    return chosen & here[:, None], fits / jnp.maximum(jnp.sum(fits, axis=1, keepdims=True), 1.0)


def _real(batch: dict[str, jax.Array], name: str) -> tuple[jax.Array, jax.Array | None]:
    """A field's array, zeros where a row lacks it (what holds the place there may be no number), and its mask."""
    x, mask, here = batch[name], batch.get(f"{name}/mask"), batch.get(f"{name}/here")
    if here is None:
        return x, mask
    return jnp.where(jnp.asarray(here).reshape(-1, *[1] * (x.ndim - 1)), x, jnp.zeros((), x.dtype)), mask


def _but(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in said.items() if key != name}
