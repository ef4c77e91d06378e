"""What a run begins with: its model, of random numbers or trained already, with adapters, and set to what the trainer says."""

import zlib

import jax
from flax import nnx

from sensorium.core.trainer import BadDial, Trainer
from sensorium.models import Model
from sensorium.nn.stack import Stack
from sensorium.optim.lora import layers, lora
from sensorium.optim.names import STACK, parameters
from sensorium.optim.optimizer import shares
from sensorium.optim.trainable import Row, table
from sensorium.training.experiment import Experiment


def prepared(experiment: Experiment, blank: bool = False) -> tuple[Model, tuple[str, ...]]:
    """The model that an experiment starts from, with its adapters where it has any, and the names of what never trains.

    `blank`: of random numbers even where the experiment begins with a trained model, for those who have its arrays.
    """
    start, trainer = experiment.start, experiment.trainer
    model = experiment.model.build(experiment.seed) if start is None or blank else start.read()
    if trainer.lora:
        key = jax.random.fold_in(jax.random.key(experiment.seed), zlib.crc32(b"lora"))
        patterns = ("encoders.*",) if start is None else _in_layers(model)
        model = lora(model, trainer.lora, patterns=patterns, key=key)
    elif trainer.remat or trainer.scan:
        model = nnx.clone(model)  # what a start gave stays as it is
    _set(model, trainer)
    return model, experiment.trainable.frozen(list(parameters(model)))


def what_trains(experiment: Experiment) -> list[Row]:
    """The table of what trains: a line for each part of the model, the total last. Nothing is allocated."""
    model = nnx.eval_shape(lambda: prepared(experiment, blank=True)[0])
    rates = shares(list(parameters(model)), experiment.trainer.layer_decay)
    return table(model, experiment.trainable, rates)


def _in_layers(model: Model) -> tuple[str, ...]:
    """The kernels in the layers of each encoder (attention and perceptrons); of one that has no layers all kernels."""
    out: list[str] = []
    for field in model.encoders:
        names = [f"{name}.kernel" for name in layers(model) if name.startswith(f"encoders.{field}.")]
        out += [name for name in names if STACK.match(name)] or names
    return tuple(out)


def _set(model: Model, trainer: Trainer) -> None:
    stacks = [module for _, module in nnx.iter_modules(model) if isinstance(module, Stack)]
    if (trainer.remat or trainer.scan) and not stacks:
        kinds = ", ".join(f"{name}: {type(encoder).__name__}" for name, encoder in model.encoders.items())
        dial = "remat" if trainer.remat else "scan"
        raise BadDial(f"{dial}=True: none of the towers ({kinds}) is a stack of equal layers, to which it could apply")
    for stack in stacks:
        stack.remat, stack.scan = stack.remat or trainer.remat, stack.scan or trainer.scan
