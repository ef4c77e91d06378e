"""Where a run begins: a published checkpoint, or a run of ours; what it then trains on, and how gently."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sensorium.core.errors import BadFile, SensoriumError
from sensorium.core.files import read_json, write_json
from sensorium.core.objective import Loss
from sensorium.core.protocols import Item, Modality
from sensorium.core.trainer import BadDial, Trainer
from sensorium.data.door import whole
from sensorium.models import Model, Space
from sensorium.pretrained.own import configuration, described
from sensorium.recipes.towers import pairs
from sensorium.sensorium import load
from sensorium.training.experiment import Start

INIT = "init.json"
"""In a run's directory: what it began with, so that it can be gone on with when that is gone."""
RATE, RATE_LORA = 1e-5, 2e-4
"""Of all parameters: as Goyal et al. 2023 (FLYP) fine-tune CLIP by its own loss; of adapters: as Zanella & Ben Ayed 2024
(CLIP-LoRA) do. A hundredth of what suits random numbers: a larger one undoes what the weights know in a few steps."""
EPOCHS = 10
"""How often items are seen unless told otherwise (Goyal et al. 2023): a trained model needs few."""


class OtherFields(SensoriumError):
    """The data and the model that is begun with do not hold the same fields."""


def start_of(init: str | Path | Start) -> Start:
    """The model to begin with: the id of a repository, or the directory of a checkpoint or of a run."""
    if isinstance(init, Start):
        return init
    made = load(init)
    _trainable(str(init), made.model, made.fields)
    return Start(_called(init), made.fingerprint, made.card, made.fields, lambda: made.model)


def begun(out: Path | str, init: str | Path | None = None) -> Start | None:
    """What the run in a directory was begun with, without its parameters, which are read only where no checkpoint of the run
    holds them. None where it began with none, or with another one than `init`."""
    path = Path(out) / INIT
    if not path.is_file():
        return None
    said = read_json(path)
    if not isinstance(said, dict) or not {"name", "fingerprint"} <= said.keys():
        raise BadFile(f"{path}: says not what the run began with: begin it anew (overwrite)")
    name, fingerprint = str(said["name"]), str(said["fingerprint"])
    if init is not None and name not in (str(init), whole(init)):  # a directory that is gone by now looks like an id
        return None
    fields, card = described(said, str(path))

    def read() -> Model:
        found = load(name)
        if found.fingerprint != fingerprint:
            raise BadFile(
                f"{name}: this is not the model that the run in {out} was begun with (fingerprint {fingerprint}, now "
                f"{found.fingerprint}), and no checkpoint of the run was kept: begin it anew (overwrite)"
            )
        return found.model

    return Start(name, fingerprint, card, fields, read)


def keep(start: Start, out: Path) -> None:
    """Writes what `begun` reads."""
    write_json(out / INIT, configuration(start.card, start.fields) | {"name": start.name, "fingerprint": start.fingerprint})


def check(start: Start, called: str, items: Sequence[Item]) -> list[str]:
    """What of the data is not read, a sentence each. An `OtherFields` where they lack a field of the model."""
    wanted = [field.kind for field in start.fields]
    found = Counter(kind for item in items for kind in item.raws)
    if lacking := [kind for kind in wanted if not found[kind]]:
        raise OtherFields(
            f"{called} holds {', '.join(sorted(found)) or 'nothing'}, and {start.name} reads {', '.join(wanted)}: it has no "
            f"{' and no '.join(lacking)}. Begin with a model of what there is, or train one from the start (leave out init)"
        )
    idle = sorted(found.keys() - set(wanted))  # a Counter keeps no key for what was only asked
    return [f"{kind} of {found[kind]} items is not read: {start.name} reads {', '.join(wanted)}" for kind in idle]


def contrast(start: Start) -> dict[str, tuple[float, Loss]]:
    """The contrast that the model was made for: the sigmoid where it has a bias (Zhai et al. 2023), else the softmax."""
    return pairs(start.fields, "infonce" if start.card.arguments.get("bias") is None else "sigmoid")


def rate(trainer: Trainer) -> float:
    """The highest learning rate, unless told otherwise."""
    return RATE_LORA if trainer.lora else RATE


def _called(init: str | Path) -> str:
    """The id of a repository as it is; a directory by its whole path."""
    return whole(init) if Path(init).is_dir() else str(init)


def _trainable(name: str, model: Any, fields: Sequence[Modality]) -> None:
    if not isinstance(model, Space) or len(fields) < 2:
        reads = ", ".join(field.kind for field in fields)
        raise BadDial(
            f"init={name!r}: a {type(model).__name__} that reads {reads}: a contrast needs a space of two fields or more. "
            "To learn labels with what it knows: sensorium probe"
        )
