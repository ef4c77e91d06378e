"""From noise to data along a grid of times, as one compiled loop in which the network stands once.

Divided by alpha + sigma, x_t of any schedule lies on the straight line from x0 to the noise, at sigma / (alpha + sigma) of the
way. The steps are taken there: nothing is divided by what is 0 at either end.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Float, Key

from sensorium.core.table import Table
from sensorium.diffusion.schedules import Schedule

Denoise = Callable[[jax.Array, jax.Array], jax.Array]
"""(x_t f32[B *shape], t f32[B]) -> what the data are thought to be, x0 f32[B *shape]."""
Some = TypeVar("Some")
PART = 8
"""Rows that are drawn at once on a CPU."""
Fresh = Callable[[jax.Array], jax.Array]
"""The number of a step -> noise f32[B *shape] for it."""


class Path(NamedTuple):
    """The times of a sampler, and what is of the data and of the noise at each."""

    t: Float[jax.Array, " steps_1"]
    alpha: Float[jax.Array, " steps_1"]
    sigma: Float[jax.Array, " steps_1"]


def sample(
    denoise: Denoise,
    noise: Float[jax.Array, " B *shape"],
    times: Float[jax.Array, " steps_1"],
    schedule: Schedule,
    sampler: str = "euler",
    *,
    keys: Key[jax.Array, " B"] | None = None,
    eta: float = 0.0,
    tell: Callable[[Any], None] | None = None,
    place: tuple[jax.Array | int, int] = (0, 1),
) -> Float[jax.Array, " B *shape"]:
    """What becomes of `noise`, which is x at `times[0]`, at `times[-1]`. Rows never mix, if those of `denoise` do not.

    `sampler`: one of `SAMPLERS`. `keys`, one a row, and `eta` (0: no noise, 1: as much as in DDPM) are for "ddim" alone, which
    may put fresh noise in. `tell` is called with the number of each evaluation of the network, from 0, as it is done (see
    `evaluations`); of the part `place` (which, of how many: see `in_parts`) with the number that is done of all by then. Made to
    be called within `jax.jit`, where the whole is one program.
    """
    walk = SAMPLERS[sampler]
    _check(times, sampler, keys, eta)
    times = jnp.asarray(times, jnp.float32)
    asked = evaluations(sampler, len(times) - 1)
    noise, path = noise.astype(jnp.float32), Path(times, schedule.alpha(times), schedule.sigma(times))

    def once(x: jax.Array, t: jax.Array, number: jax.Array) -> jax.Array:
        x0 = denoise(x, jnp.broadcast_to(t, (len(x),))).astype(jnp.float32)
        if tell is not None:
            jax.debug.callback(tell, (place[0] * asked + number) // place[1])
        return x0

    def fresh(number: jax.Array) -> jax.Array:
        assert keys is not None
        return draw_noise(jax.vmap(jax.random.fold_in, (0, None))(keys, number), noise.shape[1:])

    return walk(once, noise, path, fresh, eta)


def in_parts(work: Callable[[jax.Array, int, Some], jax.Array], things: Some, size: int | None = PART) -> jax.Array:
    """`work(number of the part, of how many, things)` of arrays with a row for each thing, `size` rows after another, in one
    program. Rows never mix, if those of `work` do not.

    What a network makes of few rows stays in the caches of a CPU, and is not fetched from memory: 64 pictures of a U-Net take a
    sixth less time so. Where there are accelerators, other numbers of rows, or no `size`, all are done at once.
    """
    rows = len(jax.tree.leaves(things)[0])
    if size is None or jax.default_backend() != "cpu" or rows <= size or rows % size:
        return work(jnp.int32(0), 1, things)
    parts = jax.tree.map(lambda x: x.reshape(rows // size, size, *x.shape[1:]), things)
    out = jax.lax.map(lambda part: work(part[0], rows // size, part[1]), (jnp.arange(rows // size), parts))
    return out.reshape(rows, *out.shape[2:])


def evaluations(sampler: str, steps: int) -> int:
    """How often the network is asked."""
    _ = SAMPLERS[sampler]
    return 2 * steps - 1 if sampler == "heun" else steps


def draw_noise(keys: Key[jax.Array, " B"], shape: Sequence[int]) -> Float[jax.Array, " B *shape"]:
    """Standard normal noise, each row from its own key: what a row becomes does not depend on the rows beside it."""
    return jax.vmap(lambda key: jax.random.normal(key, tuple(shape), jnp.float32))(keys)


def _check(times: Any, sampler: str, keys: Any, eta: float) -> None:
    if times.ndim != 1 or len(times) < 2:
        raise ValueError(f"times of shape {times.shape}: expected two or more in a row, as grid(steps) gives them")
    if not isinstance(times, Tracer):
        found = np.asarray(times)
        if not (np.all(np.diff(found) < 0) and found[0] <= 1 and found[-1] >= 0):
            raise ValueError(f"times {found.tolist()}: expected each smaller than the one before, from 1 or less to 0 or more")
    if not 0 <= eta <= 1:
        raise ValueError(f"eta={eta}: expected a number from 0 (no fresh noise) to 1 (as much as in DDPM)")
    if eta and sampler != "ddim":
        raise ValueError(f"eta={eta} with the sampler {sampler!r}: only 'ddim' puts fresh noise in")
    if eta and keys is None:
        raise ValueError(f"eta={eta} without keys: fresh noise needs a key for each row")


def _ddim(denoise: Any, x: jax.Array, path: Path, fresh: Fresh, eta: float) -> jax.Array:
    """Song et al. 2021 (DDIM), eq. 12 and 16: the noise that is seen, but for a part that is drawn anew, goes to the next level.

    With eta = 0 it is Euler's method for the probability flow, in whichever variable this is a straight line for known x0:
    in sigma / alpha (Karras et al. 2022) and for rectified flow in t.
    """

    def step(x: jax.Array, now: Any) -> tuple[jax.Array, None]:
        number, t, (a, a_next), (s, s_next) = now
        x0 = denoise(x, t, number)
        new = eta * s_next * jnp.sqrt(jnp.maximum(1 - jnp.square(a * s_next / (a_next * s)), 0.0))
        kept = jnp.sqrt(jnp.maximum(s_next * s_next - new * new, 0.0)) / s
        x = kept * x + (a_next - a * kept) * x0
        return x + new * fresh(number) if eta else x, None

    return jax.lax.scan(step, x, (_numbers(path), path.t[:-1], _pairs(path.alpha), _pairs(path.sigma)))[0]


def _heun(denoise: Any, x: jax.Array, path: Path, fresh: Fresh, eta: float) -> jax.Array:
    """Heun's method (Karras et al. 2022, algorithm 1): the mean of the slopes at both ends of a step; the last step is Euler's.

    An evaluation a pass: one goes ahead by the slope where it is, the next one goes again from there with the mean of the two.
    """
    size = path.alpha + path.sigma
    place = path.sigma / size
    steps = len(path.t) - 1
    # Evaluation 2i is at the start of step i, 2i + 1 at its end.
    at, of = (np.arange(2 * steps - 1) + 1) // 2, np.arange(2 * steps - 1) // 2
    length = (place[1:] - place[:-1])[of]

    def step(state: Any, now: Any) -> tuple[Any, None]:
        y, start, slope = state
        number, t, size, place, length = now
        here = (y - denoise(y * size, t, number)) / place
        again = number % 2 == 1
        there = jnp.where(again, start + 0.5 * length * (slope + here), y + length * here)
        return (there, y, here), None

    xs = (jnp.arange(2 * steps - 1), path.t[at], size[at], place[at], length)
    y = x / size[0]
    return jax.lax.scan(step, (y, y, jnp.zeros_like(y)), xs)[0][0] * size[-1]


def _dpm(denoise: Any, x: jax.Array, path: Path, fresh: Fresh, eta: float) -> jax.Array:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): x0 is taken on by its change since the last step, in log(alpha / sigma).

    The first step, a step after one from pure noise, and one to the data itself are of first order: their log has no end.
    """
    level = jnp.log(path.alpha) - jnp.log(path.sigma)
    length = level[1:] - level[:-1]
    known = jnp.isfinite(length[1:]) & jnp.isfinite(length[:-1])
    ahead = jnp.where(known, length[1:] / (2 * jnp.where(known, length[:-1], 1.0)), 0.0)

    def step(state: Any, now: Any) -> tuple[Any, None]:
        x, before = state
        number, t, ahead, (a, a_next), (s, s_next) = now
        x0 = denoise(x, t, number)
        aim = x0 + ahead * (x0 - before)
        return (s_next / s * x + (a_next - a * s_next / s) * aim, x0), None

    ahead = jnp.concatenate([jnp.zeros(1), ahead])
    xs = (_numbers(path), path.t[:-1], ahead, _pairs(path.alpha), _pairs(path.sigma))
    return jax.lax.scan(step, (x, jnp.zeros_like(x)), xs)[0][0]


def _numbers(path: Path) -> jax.Array:
    return jnp.arange(len(path.t) - 1)


def _pairs(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Each with the one after it."""
    return x[:-1], x[1:]


SAMPLERS = Table("sampler", {"euler": _ddim, "ddim": _ddim, "heun": _heun, "dpm++": _dpm})
"""euler: first order, a step an evaluation · ddim: the same, and with fresh noise by `eta` · heun: second order, two evaluations
a step · dpm++: second order, one evaluation a step."""
