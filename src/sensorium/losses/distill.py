"""Learning from a space that is there already: its vectors as targets, or how its rows lie to one another."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from sensorium.core.batch import here
from sensorium.core.objective import LossRows
from sensorium.losses.forms import NOBODY
from sensorium.losses.pair import by_tiles
from sensorium.losses.strips import by_strips
from sensorium.nn.norms import unit

Arrays = dict[str, jax.Array]
Units = Float[jax.Array, "B D"]


@dataclass(frozen=True)
class Distill:
    """Draws `"<field>/unit"` of the student to a teacher's vectors, which have no gradient (Yang et al. 2024, CLIP-KD, §3.2).

    The teacher's vectors stand in the batch, `"<field>/teacher"` f32[B D], of any length; or `teacher(batch)` gives them as
    `"<field>/unit"`, as a `Space` does (its parameters become constants of the compiled program).
    - `form="feature"`: 1 − cosine; both have the same width.
    - `form="relational"`: KL(teacher ‖ student) of each row's softmax of its cosines with the other rows of the field or, with
      `among`, with the rows of that field; each over its temperature (Hinton et al. 2015, eq. 1, without the factor T²). The
      two may have different widths.
    A row counts where the field (and `among`) and its teacher (`"<field>/teacher/here"`, if given) are there. `tiled` as in
    `InfoNCE`.
    """

    field: str
    form: str = "feature"
    among: str | None = None
    temperature: float = 0.07
    teacher_temperature: float | None = None
    teacher: Callable[[Arrays], Arrays] | None = None
    tiled: bool | None = None

    def __post_init__(self) -> None:
        if self.form not in ("feature", "relational"):
            raise ValueError(f'form={self.form!r}: expected "feature" or "relational"')
        if self.among is not None and self.form == "feature":
            raise ValueError(f'among={self.among!r} belongs to form="relational": a feature has its own target')
        if not min(self.temperature, self._hot) > 0:
            raise ValueError(f"temperatures of {self.temperature} and {self._hot}: they are above 0")

    def __call__(self, outputs: Arrays, batch: Arrays) -> LossRows:
        names = [self.field] if self.among is None else [self.field, self.among]
        counts = jnp.asarray(here(batch, *names, *(f"{name}/teacher" for name in names)))
        told = None if self.teacher is None else self.teacher(batch)
        right = [jax.lax.stop_gradient(_unit(_told(name, told, batch), counts)) for name in names]
        found = [_unit(outputs[f"{name}/unit"], counts) for name in names]
        if self.form == "relational":
            return LossRows(self._relational(found, right, counts), counts)
        if found[0].shape != right[0].shape:
            got = f"{self.field!r} has {found[0].shape[1]} numbers in the student and {right[0].shape[1]} in the teacher"
            raise ValueError(f'{got}: take form="relational", which compares rows, or project the teacher to the same width')
        return LossRows(jnp.where(counts, 1.0 - jnp.sum(found[0] * right[0], axis=1), 0.0), counts)

    @property
    def _hot(self) -> float:
        return self.temperature if self.teacher_temperature is None else self.teacher_temperature

    def _relational(
        self, found: list[Units], right: list[Float[jax.Array, "B D_teacher"]], counts: Bool[jax.Array, " B"]
    ) -> Float[jax.Array, " B"]:
        numbers = jnp.arange(len(counts))

        def strip(rows: tuple[jax.Array, ...]) -> Float[jax.Array, " S"]:
            mine, theirs, number, real = rows
            seen = jnp.broadcast_to(counts[None], (len(real), len(counts)))
            if self.among is None:
                seen &= number[:, None] != numbers[None]  # that a row is like itself says nothing
            log_p = _log_softmax(theirs @ right[-1].T / self._hot, seen)
            log_q = _log_softmax(mine @ found[-1].T / self.temperature, seen)
            return jnp.where(real, jnp.sum(jnp.where(seen, jnp.exp(log_p) * (log_p - log_q), 0.0), axis=1), 0.0)

        return by_strips(strip, (found[0], right[0], numbers, counts), by_tiles(self.tiled, None, len(counts)))


def _told(name: str, told: Arrays | None, batch: Arrays) -> jax.Array:
    key, given = (f"{name}/teacher", batch) if told is None else (f"{name}/unit", told)
    if key not in given:
        where = "batch" if told is None else "teacher's outputs"
        raise ValueError(f"no {key!r} in the {where}, which hold {sorted(given)}; it is the teacher's vectors, f32[B D]")
    return given[key]


def _unit(x: jax.Array, counts: Bool[jax.Array, " B"]) -> Units:
    return unit(jnp.where(counts[:, None], x.astype(jnp.float32), 0.0))


def _log_softmax(logits: Float[jax.Array, "S K"], seen: Bool[jax.Array, "S K"]) -> Float[jax.Array, "S K"]:
    return jax.nn.log_softmax(jnp.where(seen, logits, NOBODY), axis=1)
