"""How a run is carried out: the dials that are the same for every recipe."""

from dataclasses import dataclass

from sensorium.core.errors import SensoriumError


class BadDial(SensoriumError, ValueError):
    """An argument of a recipe, or of its trainer, that makes no experiment."""


@dataclass(frozen=True)
class Trainer:
    """How the steps of a run are taken, watched and kept. Everything has a default that suits a laptop.

    Attributes:
        optimizer: adamw, lion, adafactor, muon or sgd; by default what suits the recipe.
        schedule: How the learning rate falls after its warm-up: cosine, linear, rsqrt or constant.
        weight_decay: Times the rate; matrices only. By default what suits the recipe.
        clip: The most that the norm of the whole gradient may be.
        layer_decay: Share of the rate that each layer has of the one above it (0.75, say, to fine-tune gently).
        freeze: Patterns of names of parameters that never train: encoders.image.*
        lit: A field whose tower is locked, so that the others learn to read it (LiT).
        thaw: Steps after which a pattern starts to train: encoders.image.*=200
        lora: Rank of the adapters beside every kernel, which then train with the projections and nothing else. Of a model that
            has been trained already, adapters beside the kernels of its layers train alone.
        balance: Bring the updates of the modalities nearer to each other, where one drowns the others.
        track: Who else is told: tensorboard, trackio, wandb, mlflow.
        precision: What the model computes in: float32, bfloat16 or auto (bfloat16 where the device has it). Parameters,
            norms, unit vectors and logits are float32 in any case.
        accumulate: Batches whose gradients make one update, by their mean. Items are contrasted within a batch only.
        ema: Decay of a moving average of the parameters (0.999, say), which is then what is evaluated and kept.
        evaluate_every: Steps between evaluations on the items kept apart; by default only at the end.
        patience: Evaluations without a better mean R@1 after which the run stops early, and keeps the best.
        save_every: Steps between checkpoints; by default ten of them a run. The last ones and the best are kept.
        keep: How many of the last checkpoints are kept.
        bad_steps: Steps in a row whose loss or gradient is not finite, after which the run stops. Such a step changes nothing.
        mesh: Devices, as in data=-1,fsdp=4: rows are shared by all, parameters cut over fsdp. By default one device.
        remat: Keep of every layer only its input for the gradient, and compute the rest once more: less memory, more time. On a
            CPU it takes scan as well: XLA merges the two computations of layers that are not in a loop.
        scan: One program for all layers of a tower, which compiles no longer for many than for one.
    """

    optimizer: str | None = None
    schedule: str = "cosine"
    weight_decay: float | None = None
    clip: float | None = None
    layer_decay: float | None = None
    freeze: tuple[str, ...] = ()
    lit: str | None = None
    thaw: tuple[str, ...] = ()
    lora: int | None = None
    balance: bool = False
    track: tuple[str, ...] = ()
    precision: str = "auto"
    accumulate: int = 1
    ema: float | None = None
    evaluate_every: int | None = None
    patience: int | None = None
    save_every: int | None = None
    keep: int = 2
    bad_steps: int = 10
    mesh: str | None = None
    remat: bool = False
    scan: bool = False

    def __post_init__(self):
        for name in ("lora", "accumulate", "evaluate_every", "patience", "save_every", "keep", "bad_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadDial(f"{name}={value}: expected at least 1")
        if self.ema is not None and not 0 < self.ema < 1:
            raise BadDial(f"ema={self.ema}: a decay between 0 and 1 is needed, 0.999 say")
        if self.patience is not None and self.evaluate_every is None:
            raise BadDial(f"patience={self.patience}: counts evaluations; say how often with evaluate_every")
