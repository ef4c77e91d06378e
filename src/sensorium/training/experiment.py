"""What a recipe returns: everything that a run needs, and the JSON that makes it again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import optax
from flax import nnx

from sensorium.core.objective import Loss
from sensorium.core.protocols import Item, Modality, Source
from sensorium.core.trainer import BadDial as BadDial
from sensorium.core.trainer import Trainer
from sensorium.data.orders import Order
from sensorium.data.pipeline import Stream, batches
from sensorium.losses import Weight
from sensorium.models import MODELS, Model
from sensorium.optim.dials import trainable_of
from sensorium.optim.trainable import Trainable


@dataclass(frozen=True)
class Card:
    """A model as JSON: the name of its builder in `MODELS` and the arguments. Nothing is allocated until `build`."""

    builder: str
    arguments: Mapping[str, Any]

    def build(self, seed: int) -> Model:
        return MODELS[self.builder].build(**self.arguments, rngs=nnx.Rngs(seed))

    def shapes(self) -> Model:
        """The model as shapes only, for those who have its arrays. Four times as fast as `nnx.eval_shape` of `build`: there every
        key is drawn from a count, and NNX asks each traced count for its sharding, for which JAX walks through all of the trace.
        """

        def make() -> Model:
            rngs = nnx.Rngs(0)
            setattr(rngs, "default", _OneKey(0, tag="default"))  # noqa: B010  # Rngs declares its streams nowhere
            return MODELS[self.builder].build(**self.arguments, rngs=rngs)

        return nnx.eval_shape(make)


class _OneKey(nnx.RngStream):
    """The same key at every call: where only shapes are wanted, no number is drawn."""

    def __call__(self) -> jax.Array:
        return self.key[...]


@dataclass(frozen=True)
class Start:
    """The trained model that a run begins with instead of random numbers.

    `name` and `fingerprint` say which it is, and are kept with the run; `read` gives its parameters, when they are needed.
    """

    name: str
    fingerprint: str
    card: Card
    fields: tuple[Modality, ...]
    read: Callable[[], Model]


@dataclass(frozen=True)
class Experiment:
    """A run that has not started. `recipe` and `arguments` (JSON) name what made it, and are saved with the run.

    `left_out`: a sentence for each thing that the recipe was given and does not train on (a broken file, lone items), which
    is kept with the run. `losses[name]` is (weight, loss); a weight may be a schedule, a function of the number of updates.
    `shuffle=False` reads the rows of `source` in their order; `order` in one of its own (see `data.orders`). `workers` and
    `max_bad`: see `data.Stream`; `micro_batch`: see `contrast`. `trainer`: how the steps are taken, watched and kept.
    `validation`: items to evaluate on; none where the caller evaluates by other means. `start`: the model to begin with.
    `truth`: what is measured of the trained model, a `Sensorium`, at the end: see `sensorium.truth`.
    """

    recipe: str
    arguments: dict[str, Any]
    fields: tuple[Modality, ...]
    source: Source
    model: Card
    losses: Mapping[str, tuple[Weight, Loss]]
    optimizer: optax.GradientTransformation
    steps: int
    batch: int
    seed: int = 0
    shuffle: bool = True
    order: Order | None = None
    workers: int = 0
    max_bad: float = 0.05
    micro_batch: int | None = None
    trainer: Trainer = field(default_factory=Trainer)
    validation: Sequence[Item] = ()
    left_out: tuple[str, ...] = field(default=())
    start: Start | None = None
    truth: Callable[[Any], dict[str, float]] | None = None

    def __post_init__(self):
        _ = self.trainable
        for name, least in (("steps", 1), ("batch", 2)):
            if getattr(self, name) < least:
                raise BadDial(f"{name}={getattr(self, name)}: expected at least {least}")
        if self.micro_batch is not None and (self.micro_batch < 1 or self.batch % self.micro_batch):
            raise BadDial(f"micro_batch={self.micro_batch}: expected a divisor of the batch, {self.batch}")

    @property
    def trainable(self) -> Trainable:
        """What trains of the model, and from when on."""
        return trainable_of(self.trainer, trained=self.start is not None)

    def identity(self) -> dict[str, Any]:
        """What the run was asked to be, as JSON: two runs of equal identity over equal data are one run."""
        begun = {} if self.start is None else {"init_fingerprint": self.start.fingerprint}
        return {"recipe": self.recipe, "arguments": {**self.arguments, **begun, **asdict(self.trainer)}}

    def stream(self, rejects: Path | None = None) -> Stream:
        """The batches of the run, of which each process reads its own rows; what cannot be read is told in the file `rejects`."""
        host = jax.process_index(), jax.process_count()
        dials = {"workers": self.workers, "rejects": rejects, "max_bad": self.max_bad, "host": host}
        if self.order is not None:
            return Stream(self.source, self.order, stop=self.steps, **dials)
        return batches(self.source, self.batch, self.steps, self.seed, self.shuffle, **dials)
