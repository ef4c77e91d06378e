"""What a recipe returns: everything that a run needs, and the JSON that makes it again."""

from collections.abc import Mapping, Sequence
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
from sensorium.models import MODELS, Space
from sensorium.optim.dials import trainable_of


@dataclass(frozen=True)
class Card:
    """A model as JSON: the name of its builder in `MODELS` and the arguments. Nothing is allocated until `build`."""

    builder: str
    arguments: Mapping[str, Any]

    def build(self, seed: int) -> Space:
        return MODELS[self.builder].build(**self.arguments, rngs=nnx.Rngs(seed))


@dataclass(frozen=True)
class Experiment:
    """A run that has not started. `recipe` and `arguments` (JSON) name what made it, and are saved with the run.

    `left_out`: a sentence for each thing that the recipe was given and does not train on (a broken file, lone items), which
    is kept with the run. `losses[name]` is (weight, loss); a weight may be a schedule, a function of the number of updates.
    `shuffle=False` reads the rows of `source` in their order; `order` in one of its own (see `data.orders`). `workers` and
    `max_bad`: see `data.Stream`; `micro_batch`: see `contrast`. `trainer`: how the steps are taken, watched and kept.
    `validation`: items to evaluate on; none where the caller evaluates by other means.
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

    def __post_init__(self):
        trainable_of(self.trainer)
        for name, least in (("steps", 1), ("batch", 2)):
            if getattr(self, name) < least:
                raise BadDial(f"{name}={getattr(self, name)}: expected at least {least}")
        if self.micro_batch is not None and (self.micro_batch < 1 or self.batch % self.micro_batch):
            raise BadDial(f"micro_batch={self.micro_batch}: expected a divisor of the batch, {self.batch}")

    def identity(self) -> dict[str, Any]:
        """What the run was asked to be, as JSON: two runs of equal identity over equal data are one run."""
        return {"recipe": self.recipe, "arguments": {**self.arguments, **asdict(self.trainer)}}

    def stream(self, rejects: Path | None = None) -> Stream:
        """The batches of the run, of which each process reads its own rows; what cannot be read is told in the file `rejects`."""
        host = jax.process_index(), jax.process_count()
        dials = {"workers": self.workers, "rejects": rejects, "max_bad": self.max_bad, "host": host}
        if self.order is not None:
            return Stream(self.source, self.order, stop=self.steps, **dials)
        return batches(self.source, self.batch, self.steps, self.seed, self.shuffle, **dials)
