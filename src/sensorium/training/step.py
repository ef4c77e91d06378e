"""One training step, compiled once for each shape of batch.

The model is split into named arrays before the loop and merged inside the program: walking the module graph in Python at
every step, as nnx.jit does, would cost more than the step of a small model (benchmarks/step.py).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from fnmatch import fnmatch
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from sensorium.core.batch import Batch
from sensorium.core.differences import differences
from sensorium.core.errors import BadFile
from sensorium.training.average import averaged
from sensorium.training.precision import lowered, policy
from sensorium.training.sharding import Placement, local

M = TypeVar("M", bound=nnx.Module)
Arrays = dict[str, jax.Array]
Objective = Callable[[Any, dict[str, jax.Array], jax.Array, jax.Array], tuple[jax.Array, dict[str, jax.Array]]]
"""(model, batch, key, how many updates there were) -> the loss, and what to tell beside it: numbers, or truth values a row."""
Watch = Callable[[Arrays, Arrays, Arrays], Arrays]
"""(gradients, parameters, updates), by name -> numbers to tell of an update."""


class Now(NamedTuple):
    """All that the next step depends on. `rest` is what is no parameter (statistics, counts and keys of a module);
    `skipped` and `bad` count the steps that were not applied, in all and in a row."""

    trained: Arrays
    frozen: Arrays
    rest: Arrays
    optimizer: Any
    ema: Arrays
    count: jax.Array
    skipped: jax.Array
    bad: jax.Array


class Step(Generic[M]):
    """Owns the parameters while it trains: `step(batch)` updates them, `step.model()` gives the model as it stands.

    Parameters whose dotted name matches a pattern of `frozen` ("encoders.image.*", as file names are matched) stay as they are,
    and cost no memory of the optimizer; to thaw some of them later, make another step of `step.model()`. What is no parameter
    (statistics of batch norms) is carried along as the model leaves it. `settle` is called with the model after every update,
    inside the program (a `Space` holds its scale there). Every step has its own key, made of `seed` and the number of the step.

    The optimizer sees dictionaries of float32 by dotted name. With `precision` "bfloat16" the model computes in it, "auto" does
    so where the device has it; the parameters stay float32. `ema` is the decay of a moving average of them. With `accumulate`
    so many batches make one update, by the mean of their gradients. `placement` says which device holds what.

    A step whose loss or gradient is not finite changes nothing but its counts: `out["skipped"]` of all steps, `out["bad"]` in a
    row; `out["finite"]` bool[P] says of which of the parameters `step.names` the gradient was finite.
    `traces` counts how often the step was traced: once a shape of batch, or something re-compiles behind your back.
    """

    def __init__(
        self,
        model: M,
        objective: Objective,
        optimizer: optax.GradientTransformation,
        *,
        settle: Callable[[M], None] | None = None,
        frozen: Sequence[str] = (),
        seed: int = 0,
        precision: str = "float32",
        ema: float | None = None,
        accumulate: int = 1,
        placement: Placement | None = None,
        watch: Watch | None = None,
    ):
        self._trains = _trained(model, frozen)
        self._graph, *states = nnx.split(model, self._trains, nnx.Param, ...)
        self._trees = [jax.tree.structure(state) for state in states]
        self._names = [_names(state) for state in states]
        self._objective, self._settle, self._seed, self._watch = objective, settle, seed, watch
        self._dtype, self._ema, self._place = policy(precision), ema, placement
        self._accumulate = accumulate
        self._optimizer = optax.MultiSteps(optimizer, accumulate) if accumulate > 1 else optimizer
        # The step donates its arrays: the caller's stay whole.
        trained, fixed, rest = (
            {name: x.copy() for name, x in zip(names, jax.tree.leaves(state), strict=True)}
            for names, state in zip(self._names, states, strict=True)
        )
        with jax.numpy_dtype_promotion("standard"):  # optax mixes i32 counts with f32
            memory = self._optimizer.init(trained)
        average = {} if ema is None else {name: x.copy() for name, x in trained.items()}
        self._now = self._placed(Now(trained, fixed, rest, memory, average, *(jnp.zeros((), jnp.int32) for _ in range(3))))
        self._programs: dict[tuple, jax.stages.Compiled] = {}
        self.traces = 0

    @property
    def names(self) -> list[str]:
        """The dotted names of the parameters that are trained."""
        return self._names[0]

    @property
    def trained(self) -> int:
        """How many numbers are trained."""
        return sum(x.size for x in self._now.trained.values())

    def compile(self, batch: Batch | dict[str, jax.Array]) -> float:
        """Makes the program for batches of this one's shapes; the seconds it took (0 where it is there already)."""
        shapes = _shapes(batch)
        if shapes in self._programs:
            return 0.0
        start = time.perf_counter()
        with self._mesh():
            update = jax.jit(self._update, donate_argnums=0, out_shardings=self._shardings())
            self._programs[shapes] = update.lower(self._now, self.put(batch)).compile()
        return time.perf_counter() - start

    def put(self, batch: Batch | dict[str, jax.Array]) -> dict[str, jax.Array]:
        """The batch on its way to the devices; with several hosts, each gives its own rows."""
        return jax.device_put(batch) if self._place is None else self._place.rows(batch)

    def __call__(self, batch: Batch | dict[str, jax.Array]) -> dict[str, jax.Array]:
        """One step. Gives `"loss"` and what the objective tells, still on the device: reading them waits for the step."""
        batch = batch if self._place is None else self.put(batch)
        self.compile(batch)
        with self._mesh():
            self._now, out = self._programs[_shapes(batch)](self._now, batch)
        return out

    def model(self, average: bool = False) -> M:
        """The model with a copy of the parameters of now, or with the moving average of them."""
        if average and self._ema is None:
            raise ValueError("the step was made without ema=: there is no average of its parameters")
        now = self._now
        return self._merge(local(now.ema if average else now.trained), local(now.frozen), local(now.rest))

    def state(self) -> Arrays:
        """All that the next step depends on, by name: "model/…", "optimizer/…", "ema/…" and the counts.

        The next step donates these very arrays, so copy what is to outlive it.
        """
        return dict(zip(self._keys(), jax.tree.leaves(self._now), strict=True))

    def restore(self, arrays: Mapping[str, jax.Array]) -> None:
        """Goes on from a `state()`; a `BadFile` lists every array that is missing, unknown, or of another shape or type."""
        wanted = self.state()
        if wrong := differences(arrays, wanted):
            raise BadFile("the saved state does not fit this run: " + "; ".join(wrong))
        # Copies: an array that somebody else holds must not be donated.
        leaves = [jax.device_put(arrays[name], old.sharding, may_alias=False) for name, old in wanted.items()]
        self._now = jax.tree.unflatten(jax.tree.structure(self._now), leaves)

    def _keys(self) -> list[str]:
        now, names = self._now, []
        for part, tree in zip(Now._fields, now, strict=True):
            if part in ("trained", "frozen", "rest"):
                names += [f"model/{name}" for name in sorted(tree)]
            else:
                paths = jax.tree_util.tree_flatten_with_path(tree)[0]
                names += ["/".join(filter(None, (part, *map(_plain, path)))) for path, _ in paths]
        return names

    def _mesh(self):
        return nullcontext() if self._place is None else jax.set_mesh(self._place.mesh)

    def _shardings(self) -> Any:
        """What is told of a step goes to every device: each process reads it."""
        return self._place and (self._place.of(self._now), self._place.everywhere)

    def _placed(self, now: Now) -> Now:
        return now if self._place is None else jax.device_put(now, self._place.of(now))

    def _merge(self, *arrays: Arrays) -> M:
        parts = zip(arrays, self._names, self._trees, strict=True)
        return nnx.merge(self._graph, *(jax.tree.unflatten(tree, [had[name] for name in names]) for had, names, tree in parts))

    def _split(self, model: M) -> list[Arrays]:
        states = nnx.split(model, self._trains, nnx.Param, ...)[1:]
        return [dict(zip(names, jax.tree.leaves(s), strict=True)) for names, s in zip(self._names, states, strict=True)]

    def _loss(self, trained: Arrays, now: Now, batch: dict[str, jax.Array], key: jax.Array):
        model = self._merge(lowered(trained, self._dtype), lowered(now.frozen, self._dtype), now.rest)
        loss, told = self._objective(model, batch, key, now.count // self._accumulate)
        return loss.astype(jnp.float32), (self._split(model)[2], {"loss": loss.astype(jnp.float32)} | told)

    def _update(self, now: Now, batch: dict[str, jax.Array]) -> tuple[Now, dict[str, jax.Array]]:
        self.traces += 1
        key = jax.random.fold_in(jax.random.key(self._seed), now.count)
        (loss, (rest, out)), gradients = jax.value_and_grad(self._loss, has_aux=True)(now.trained, now, batch, key)
        finite = jnp.stack([jnp.all(jnp.isfinite(gradients[name])) for name in self.names])
        good = jnp.isfinite(loss) & finite[jnp.argmin(finite)]  # XLA copies `all` into every update: slow to compile
        with jax.numpy_dtype_promotion("standard"):
            updates, memory = self._optimizer.update(gradients, now.optimizer, now.trained)
        trained: Any = optax.apply_updates(now.trained, updates)
        if self._settle:
            model = self._merge(trained, now.frozen, rest)
            self._settle(model)
            trained, _, rest = self._split(model)
        if self._watch:
            out |= self._watch(gradients, now.trained, updates)  # pyright: ignore[reportArgumentType]
        ema = averaged(now.ema, trained, memory, now.count, self._ema) if self._ema is not None else {}
        new, old = (trained, rest, memory, ema), (now.trained, now.rest, now.optimizer, now.ema)
        trained, rest, memory, ema = jax.tree.map(lambda a, b: a if a is b else jax.lax.select(good, a, b), new, old)
        skipped, bad = now.skipped + (~good).astype(jnp.int32), jnp.where(good, 0, now.bad + 1)
        out |= {"skipped": skipped, "bad": bad, "finite": finite}
        return Now(trained, now.frozen, rest, memory, ema, now.count + 1, skipped, bad), out


def _names(state: Any) -> list[str]:
    """The dotted names of a state's arrays, in the order in which JAX flattens it."""
    return [".".join(map(_plain, path[:-1])) for path, _ in jax.tree_util.tree_flatten_with_path(state)[0]]


def _plain(key: Any) -> str:
    return jax.tree_util.keystr((key,), simple=True)


def _trained(model: nnx.Module, frozen: Sequence[str]) -> Callable[[tuple, Any], bool]:
    """The filter of what is trained; a `ValueError` for a pattern that no parameter has, or where nothing is left to train."""
    names = [".".join(map(str, path)) for path, _ in nnx.to_flat_state(nnx.state(model, nnx.Param))]
    if idle := [pattern for pattern in frozen if not any(fnmatch(name, pattern) for name in names)]:
        raise ValueError(f"frozen={idle}: no parameter has such a name; there are {', '.join(names[:8])} …")
    if all(any(fnmatch(name, pattern) for pattern in frozen) for name in names):
        raise ValueError(f"frozen={list(frozen)}: nothing is left to train")

    def trains(path: tuple, value: Any) -> bool:
        return isinstance(value, nnx.Param) and not any(fnmatch(".".join(map(str, path)), pattern) for pattern in frozen)

    return trains


def _shapes(batch: Batch | dict[str, jax.Array]) -> tuple:
    return tuple((key, value.shape, value.dtype) for key, value in sorted(batch.items()))
