"""A decoder that makes a picture, a sound or a clip out of noise: a network, and how it is trained and asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float, Int, Key, Num

from sensorium.core.encoding import Encoding
from sensorium.core.table import Table, made
from sensorium.decoders.dit import DiT
from sensorium.decoders.form import formed
from sensorium.decoders.unet import UNet
from sensorium.diffusion import (
    DRAWS,
    KINDS,
    SAMPLERS,
    SCHEDULES,
    check_guidance,
    corrupt,
    draw_noise,
    grid,
    guided,
    in_parts,
    sample,
)
from sensorium.nn.sizes import whole

NETWORKS: Table[type] = Table("network", {"dit": DiT, "unet": UNet})
"""`hear(Encoding)` -> what is heard, with a `sketch` or None; (noisy f32[B *shape C], t f32[B], heard) -> f32[B *shape C];
`shape` and `channels` say what is read, `at_once` how many rows are best drawn at once on a CPU (None: all)."""


class Denoised(NamedTuple):
    """What the network said of some rows, what it should have, how much the error of each counts, and which rows they are; of
    all rows the thing itself, and what was expected of it by the condition alone, where the network has a sketch."""

    said: Float[jax.Array, "K *shape C"]
    wanted: Float[jax.Array, "K *shape C"]
    weight: Float[jax.Array, " K"]
    rows: Int[jax.Array, " K"]
    clean: Float[jax.Array, "B *shape C"]
    sketch: Float[jax.Array, "B *shape C"] | None

    def outputs(self, name: str) -> dict[str, jax.Array]:
        """By name, as a model gives them: `"<name>/said"` and so on; without a sketch where there is none."""
        return {f"{name}/{part}": x for part, x in self._asdict().items() if x is not None}


@dataclass(frozen=True)
class Drawing:
    """How things are drawn: by `steps` of a `sampler` (see `diffusion.SAMPLERS`), `guidance` times as far away from what would
    be drawn of nothing in particular (1: not at all; Ho & Salimans 2022). `shift` over 1: more of the steps where noise is most.
    `temperature`: the deviation of the noise that is begun with; under 1 things are nearer to what is expected, and less various.
    `interval`: the times, of 1 (noise) to 0, at which guidance works; `rescale`: how far, from 0 to 1, contrasts are brought back
    to what they are without it (see `diffusion.guided`).
    """

    steps: int = 20
    guidance: float = 2.0
    sampler: str = "euler"
    shift: float = 1.0
    eta: float = 0.0
    temperature: float = 1.0
    interval: Sequence[float] = (0.0, 1.0)
    rescale: float = 0.0

    def __post_init__(self):
        object.__setattr__(self, "steps", whole("steps", self.steps))
        object.__setattr__(self, "interval", tuple(self.interval))
        check_guidance(self.guidance, self.interval, self.rescale)
        if not 0 <= self.temperature <= 1:
            raise ValueError(f"temperature={self.temperature}: expected from 0 (without noise) to 1 (as learned)")
        _ = SAMPLERS[self.sampler]

    def compiled(self) -> tuple["Drawing", tuple[float, float]]:
        """What a program is compiled for, and the guidance and temperature that it is told: one serves all of these,
        and another one all drawing without guidance."""
        unguided = {"guidance": 1.0, "interval": (0.0, 1.0), "rescale": 0.0}
        plain = unguided if self.guidance == 1 else {"guidance": 2.0}
        return replace(self, temperature=1.0, **plain), (self.guidance, self.temperature)


class Denoiser(nnx.Module):
    """Trained on the arrays of a field and what they are about; draws such arrays.

    `form` is a name of `decoders.FORMS` and its arguments: the arrays as f32[B *shape C] within [-1, 1]. `network` is a name of
    `NETWORKS` and its arguments, `vector` and `tokens` are the widths of what an `Encoding` holds. `says` is one of
    `diffusion.KINDS`: what the network says of x_t. Errors of an x0 count 1/sigma² (as an error of v would), but at most
    1/`floor`²: a low floor teaches the finest of details first, a high one what is where. A share `unconditional` of the rows
    is learned with a learned vector in the place of the condition and no tokens: what guidance goes away from. The network
    sees what is in form less `middle`, times `scale`: noise has a deviation of 1, and what has a far smaller one is drowned
    in it at all but the last of the times (Rombach et al. 2022, appendix G, scale their latents so). `schedule` and `times`
    are names of `diffusion.SCHEDULES` and `diffusion.DRAWS` with their arguments, by default `{"schedule": "rectified"}` and
    `{"times": "uniform"}`; `drawn` are the arguments of the `Drawing` by which things are drawn unless told otherwise.

    A network with a sketch that says x0 says what has to be added to the sketch. The sketch learns from all rows of a batch, the
    rest from every `stride`-th: it costs far less, and what it has learned need not be found in noise. Where the condition learns
    from the sketch alone and the sketch reads tokens alone (`Slots`), the vector of no condition stays 0.
    """

    def __init__(
        self,
        form: Mapping[str, Any],
        network: Mapping[str, Any],
        vector: int,
        tokens: int,
        says: str = "x0",
        schedule: Mapping[str, Any] | None = None,
        times: Mapping[str, Any] | None = None,
        floor: float = 0.5,
        unconditional: float = 0.1,
        middle: float = 0.0,
        scale: float = 1.0,
        drawn: Mapping[str, Any] | None = None,
        stride: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        self.form = formed(form)
        rest = {key: value for key, value in network.items() if key != "network"}
        self.network = NETWORKS[network["network"]](**rest, vector=vector, tokens=tokens, rngs=rngs)
        self.nothing = nnx.Param(jnp.zeros((vector,)))
        self.schedule = made(SCHEDULES, *_named(schedule, "schedule", "rectified"))
        self.times = made(DRAWS, *_named(times, "times", "uniform"))
        self.drawn = Drawing(**(drawn or {}))
        self.kind, self.floor, self.unconditional = KINDS[says], floor, unconditional
        self.middle, self.scale, self.stride = middle, scale, whole("stride", stride)
        if self.stride > 1 and self.network.sketch is None:
            raise ValueError(f"stride={stride}: expected 1, as this network has no sketch that learns from the other rows")
        if not 0 < scale < float("inf"):
            raise ValueError(f"scale={scale}: expected more than 0")
        if not 0 < floor <= 1 or not 0 <= unconditional < 1:
            raise ValueError(f"floor={floor}, unconditional={unconditional}: expected over 0 and at most 1, and from 0 to 1")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one thing in its form, with its channels."""
        return (*self.network.shape, self.network.channels)

    def __call__(self, x: Num[jax.Array, "B ..."], about: Encoding, key: Key[jax.Array, ""]) -> Denoised:
        x = (self.form.into(x) - self.middle) * self.scale
        when, noisy, dropped = jax.random.split(key, 3)
        about = self.without(about, jax.random.uniform(dropped, (len(x),)) < self.unconditional)
        heard = self.network.hear(about)
        rows = jnp.arange(0, len(x), self.stride)
        some = x[:: self.stride]
        t = self.times(when, len(some))
        noise = jax.random.normal(noisy, some.shape, jnp.float32)
        said = self._said(corrupt(self.schedule, some, noise, t), t, jax.tree.map(lambda a: a[:: self.stride], heard))
        weight = jnp.ones(len(some))
        if self.kind.name == "x0":
            weight = 1.0 / jnp.square(jnp.maximum(self.schedule.sigma(t), self.floor))
        return Denoised(said, self.kind.aim(self.schedule, some, noise, t), weight, rows, x, heard.sketch)

    def _said(self, x: Float[jax.Array, "B *shape C"], t: Float[jax.Array, " B"], heard: Any) -> Float[jax.Array, "B *shape C"]:
        """What the network says of noisy grids, in float32."""
        said = self.network(x, t, heard).astype(jnp.float32)
        if self.kind.name != "x0" or heard.sketch is None:
            return said
        return said + jax.lax.stop_gradient(heard.sketch.astype(jnp.float32))

    def without(self, about: Encoding, rows: jax.Array) -> Encoding:
        """What is learned or drawn about, in the rows of a mask bool[B] nothing in particular."""
        pooled = jnp.where(rows[:, None], self.nothing[...][None], about.pooled)
        return Encoding(about.tokens, about.mask & ~rows[:, None], pooled)

    def draw(
        self,
        about: Encoding,
        keys: Key[jax.Array, " B"],
        how: Drawing | None = None,
        tell: Callable[[Any], None] | None = None,
        dials: tuple[jax.Array, jax.Array] | None = None,
    ) -> Num[jax.Array, "B ..."]:
        """The array of a thing a row, each from its own key, whatever is drawn beside it. `tell` is told of each evaluation of
        the network, by its number from 0. `dials`: guidance and temperature in the place of those of `how` (see
        `Drawing.compiled`)."""
        how = how or self.drawn
        told: tuple[Any, Any] = (how.guidance, how.temperature) if dials is None else dials

        def some(part: jax.Array, parts: int, rows: tuple[Encoding, jax.Array]) -> jax.Array:
            return self._drawn(*rows, how, tell, told, (part, parts))

        return in_parts(some, (about, keys), self.network.at_once)

    def _drawn(
        self,
        about: Encoding,
        keys: Key[jax.Array, " B"],
        how: Drawing,
        tell: Callable[[Any], None] | None,
        dials: tuple[Any, Any],
        place: tuple[jax.Array, int],
    ) -> Num[jax.Array, "B ..."]:
        guidance, temperature = dials

        def denoise(x: jax.Array, t: jax.Array, heard: Any) -> jax.Array:
            x0 = self.kind.to_x0(self.schedule, self._said(x, t, heard), x, t)
            return self._within(x0)

        nothing = self.without(about, jnp.ones(len(about.pooled), bool))
        asked = guided(
            denoise,
            self.network.hear(about),
            self.network.hear(nothing),
            1.0 if how.guidance == 1 else guidance,
            interval=how.interval,
            rescale=how.rescale,
        )
        noise = temperature * draw_noise(jax.vmap(jax.random.fold_in, (0, None))(keys, 0), self.shape)
        fresh = jax.vmap(jax.random.fold_in, (0, None))(keys, 1) if how.eta else None
        times = grid(how.steps, self.schedule, shift=how.shift)
        x = sample(asked, noise, times, self.schedule, how.sampler, keys=fresh, eta=how.eta, tell=tell, place=place)
        return self.form.back(self._within(x) / self.scale + self.middle)

    def _within(self, x: Float[jax.Array, "B *shape C"]) -> Float[jax.Array, "B *shape C"]:
        """Nothing in form is beyond -1 and 1."""
        return jnp.clip(x, (-1.0 - self.middle) * self.scale, (1.0 - self.middle) * self.scale)


def _named(given: Mapping[str, Any] | None, key: str, usual: str) -> tuple[str, dict[str, Any]]:
    """The name that is given under `key`, and the arguments beside it."""
    rest = dict(given or {})
    return rest.pop(key, usual), rest
