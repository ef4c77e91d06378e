"""What of a model trains, and from which step on, by patterns of names; and the table that says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Int

from sensorium.optim.lora import adapted
from sensorium.optim.names import check_patterns, map_named, matches, parameters


@dataclass(frozen=True)
class Trainable:
    """Which parameters train: those of `only`, less those of `freeze`, those of `thaw` from a step on.

    Patterns are matched with dotted names as file names are: "encoders.image.*". `lit="image"` locks that field's encoder and
    lets its projection train, so that the other towers learn to read a space that does not move (Zhai et al. 2022, LiT); with
    `lit_whole`, for projections that are trained already, the projection is locked too, and the field's vectors stay as they are.
    Of an adapted model (see `lora`) `only=("*.lora.*", "projections.*")` trains the adapters and the projections.
    `thaw={200: ("encoders.image.*",)}`: these stand still for 200 updates, whether `freeze` names them or not.
    """

    only: tuple[str, ...] = ("*",)
    freeze: tuple[str, ...] = ()
    lit: str | None = None
    thaw: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    lit_whole: bool = False

    def __post_init__(self):
        if wrong := [step for step in self.thaw if step < 1]:
            raise ValueError(f"thaw at {wrong}: expected how many updates come before, 1 or more")

    def starts(self, names: Sequence[str]) -> dict[str, int | None]:
        """From which update on each parameter trains: 0 from the first, none for never.

        A `ValueError` for a pattern that no name has, and where nothing trains from the first update on.
        """
        frozen = (*self.freeze, *((f"encoders.{self.lit}.*",) if self.lit is not None else ()))
        check_patterns("only", self.only, names)
        check_patterns("freeze" if self.lit is None else f"freeze (lit={self.lit!r})", frozen, names)
        if self.lit_whole and self.lit is not None:  # where there is any: a bare field has no projection
            frozen = (*frozen, f"projections.{self.lit}.*")
        check_patterns("thaw", [pattern for patterns in self.thaw.values() for pattern in patterns], names)

        def start(name: str) -> int | None:
            if thawed := [step for step, patterns in self.thaw.items() if matches(name, patterns)]:
                return min(thawed)
            return 0 if matches(name, self.only) and not matches(name, frozen) else None

        found = {name: start(name) for name in names}
        if 0 not in found.values():
            raise ValueError(f"{self}: nothing is left to train at the first step")
        return found

    def frozen(self, names: Sequence[str]) -> tuple[str, ...]:
        """The names, in full, of what never trains: an optimizer need not remember them."""
        return tuple(name for name, start in self.starts(names).items() if start is None)


class Held(NamedTuple):
    count: Int[Array, ""]
    inner: optax.OptState


def staged(optimizer: optax.GradientTransformation, thaw: Mapping[int, Sequence[str]]) -> optax.GradientTransformation:
    """The optimizer, holding the parameters of `thaw[step]` still for the first `step` updates.

    All parameters have their place in the memory from the beginning, so that a thaw changes no shape: the program is compiled
    once, and what the others have gathered stays. Until its thaw a parameter's gradient is 0 for the optimizer (it counts in no
    norm and moves no momentum) and its update is 0 (it does not decay either). The program computes the held gradients anyway:
    what never trains should be frozen, not held.
    """
    if not thaw:
        return optimizer

    def open_or_zero(count: jax.Array, tree: Any) -> Any:
        def gated(name: str, x: Any) -> Any:
            steps = [step for step, patterns in thaw.items() if matches(name, patterns)]
            return jnp.where(count >= min(steps), x, jnp.zeros_like(x)) if steps else x

        return map_named(gated, tree)

    def init(params: Any) -> Held:
        return Held(jnp.zeros((), jnp.int32), optimizer.init(params))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Held]:
        updates, inner = optimizer.update(open_or_zero(state.count, updates), state.inner, params)
        return open_or_zero(state.count, updates), Held(state.count + 1, inner)

    return optax.GradientTransformation(init, update)


class Row(NamedTuple):
    """A line of the table of what trains."""

    group: str
    parameters: int
    trained: int
    how: str
    rate: str


def table(model: nnx.Module, trainable: Trainable, shares: Mapping[str, float] | None = None) -> list[Row]:
    """A line for each part of the model, its total last: what trains, how, and at which share of the learning rate.

    A part is an entry of `encoders`, `projections` and the like, or a name at the top. `shares`: see `optimizer.shares`.
    """
    sizes = {name: x.size for name, x in parameters(model).items()}
    starts = trainable.starts(list(sizes))
    ranks = {f"{layer}.lora.{part}.kernel": x.rank for layer, x in adapted(model).items() for part in "ab"}
    groups: dict[str, list[str]] = {}
    for name in sizes:
        groups.setdefault(_group(name), []).append(name)
    rows = [_row(group, names, sizes, starts, ranks, shares or {}) for group, names in groups.items()]
    return [*rows, Row("total", sum(r.parameters for r in rows), sum(r.trained for r in rows), "", "")]


def _row(
    group: str,
    names: list[str],
    sizes: Mapping[str, int],
    starts: Mapping[str, int | None],
    ranks: Mapping[str, int],
    shares: Mapping[str, float],
) -> Row:
    moving = [name for name in names if starts[name] is not None]
    rates = sorted({shares.get(name, 1.0) for name in moving})
    spread = f"{rates[0]:.3g}" if len(rates) == 1 else f"{rates[0]:.3g} to {rates[-1]:.3g}" if rates else "–"
    trained = sum(sizes[name] for name in moving)
    return Row(group, sum(sizes[name] for name in names), trained, _how(names, starts, ranks), spread)


def _how(names: list[str], starts: Mapping[str, int | None], ranks: Mapping[str, int]) -> str:
    """ "full", "frozen", "LoRA r=8", "thaws at step 200", or several of them with how many parameters each has."""

    def of(name: str) -> str:
        if starts[name] is None:
            return "frozen"
        kind = f"LoRA r={ranks[name]}" if name in ranks else "full"
        return kind if not starts[name] else f"{'' if kind == 'full' else kind + ', '}thaws at step {starts[name]}"

    kinds = [of(name) for name in names]
    lora = [kind for kind in kinds if kind.startswith("LoRA")]
    # A part that is frozen but for its adapters is what everybody calls LoRA.
    if lora and set(kinds) == {"frozen", lora[0]}:
        return lora[0]
    counts = {kind: kinds.count(kind) for kind in kinds}
    return kinds[0] if len(counts) == 1 else ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _group(name: str) -> str:
    parts = name.split(".")
    return ".".join(parts[:2]) if len(parts) > 2 else parts[0]
