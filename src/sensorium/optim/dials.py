"""The dials of a `Trainer` as the things that they stand for."""

from collections.abc import Mapping, Sequence

import optax

from sensorium.core.trainer import BadDial, Trainer
from sensorium.optim.names import map_named, rate_of
from sensorium.optim.optimizer import optimizer
from sensorium.optim.trainable import Trainable

ADAPTERS = ("*.lora.*", "projections.*", "log_scale")
"""What trains beside LoRA's adapters: what is new in a space, and costs next to nothing."""
ADAPTERS_ALONE = ("*.lora.*",)
"""The same of a model that has been trained already, in which nothing is new."""


def optimizer_of(
    trainer: Trainer,
    lr: float,
    steps: int,
    weight_decay: float = 0.0,
    usual: str = "adamw",
    plain: Sequence[str] = (),
    rates: Mapping[str, float] | None = None,
) -> optax.GradientTransformation:
    """The optimizer of a run of `steps` batches with the highest rate `lr`: the `usual` one, and `weight_decay`, unless others
    are asked for; `plain`: see `optimizer`. `rates`: shares of the rate by pattern, of a recipe, all of which may be frozen."""
    made = optimizer(
        trainer.optimizer or usual,
        lr,
        max(1, steps // trainer.accumulate),
        schedule=trainer.schedule,
        clip=trainer.clip,
        plain=plain,
        layer_decay=trainer.layer_decay,
        weight_decay=weight_decay if trainer.weight_decay is None else trainer.weight_decay,
    )
    if not rates:
        return made
    shared = optax.stateless(lambda updates, _: map_named(lambda name, u: u * rate_of(name, rates), updates))
    return optax.chain(made, shared)


def trainable_of(trainer: Trainer, trained: bool = False) -> Trainable:
    """What trains of a model; a `BadDial` for a thaw that is not written as PATTERN=STEP. `trained`: the model has been already,
    so that adapters train alone, and a locked tower (`lit`) keeps its projection."""
    thaw: dict[int, tuple[str, ...]] = {}
    for text in trainer.thaw:
        pattern, _, step = text.rpartition("=")
        if not pattern or not step.isdigit() or int(step) < 1:
            raise BadDial(f"thaw {text!r}: write a pattern and the step that it starts at, encoders.image.*=200")
        thaw[int(step)] = (*thaw.get(int(step), ()), pattern)
    adapters = ADAPTERS_ALONE if trained else ADAPTERS
    only = adapters if trainer.lora else ("*",)
    return Trainable(only=only, freeze=trainer.freeze, lit=trainer.lit, thaw=thaw, lit_whole=trained)
