# %% [markdown]
# # Three senses, one space: training from the first line to the last
#
# Pictures, texts and sounds of the synthetic world learn one space: samples that belong together come near each other, and
# from each vector its sample can be made again. Everything is here: encoders, decoders, the loss, the updates, validation
# against the best that is possible, and checkpoints.
#
# Run it: `python examples/02_guide_training.py` (about ten minutes on two cores).

# %%
import json
import os
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from sensorium.core.files import write_json
from sensorium.decoders import GridDecoder
from sensorium.multi_modal.augment import Forgetful, augment
from sensorium.multi_modal.datasets import create_synthetic_multi_modal_dataset
from sensorium.multi_modal.encoders import AudioEncoder, ImageEncoder, TextEncoder
from sensorium.multi_modal.losses import contrastive_loss, reconstruction_loss
from sensorium.training import Step, adamw
from sensorium.training.weights import load_weights, save_weights

SAMPLES, HELD_OUT = int(os.environ.get("SAMPLES", "10000")), int(os.environ.get("HELD_OUT", "1000"))
EPOCHS, BATCH, SEED = int(os.environ.get("EPOCHS", "10")), 32, 0
home = Path(os.environ.get("OUT", "runs/guide"))

# %% [markdown]
# The data. Both sets come from one seed and have nothing in common; samples are made when they are asked for.

# %%
NAMES = ("image", "text", "audio")
train, validation = (
    create_synthetic_multi_modal_dataset(NAMES, n, alignment_strength=0.8, rngs=nnx.Rngs(SEED), split=split)
    for n, split in ((SAMPLES, "train"), (HELD_OUT, "validation"))
)
print(f"{len(train)} to train on, {len(validation)} held out; the first one says: {train.spell(0)[:60]}…")


# %% [markdown]
# The model: an encoder of its own for each sense, and a decoder back from the space. A decoder of pictures or sounds gives the
# mean of what the vector determines; that of texts gives logits, as the distance of two token ids means nothing.


# %%
class Senses(nnx.Module):
    def __init__(self, width: int = 128, *, rngs: nnx.Rngs):
        self.encoders = nnx.Dict(
            image=ImageEncoder(width, image_size=32, backbone="convnet", rngs=rngs),
            text=TextEncoder(1000, width, 50, num_layers=1, num_heads=4, pooling="flatten", rngs=rngs),
            audio=AudioEncoder(width, 16000, front_end="wave", pooling="flatten", width=64, depth=1, rngs=rngs),
        )
        self.decoders = nnx.Dict(
            image=GridDecoder(width, (32, 32), 3, (4, 4), width=64, rngs=rngs),
            audio=GridDecoder(width, (16000,), 1, (160,), width=64, rngs=rngs),
            text=nnx.Linear(width, 50 * 32, rngs=rngs),
        )
        self.vocabulary = nnx.Linear(32, 1000, rngs=rngs)

    def encode(self, batch: dict) -> dict[str, jax.Array]:
        return {name: encoder(batch[name]) for name, encoder in self.encoders.items()}

    def decode(self, units: dict[str, jax.Array]) -> dict[str, jax.Array]:
        wide = {name: unit * np.sqrt(128.0) for name, unit in units.items()}  # entries of size 1, as layers expect
        text = self.decoders["text"](wide["text"]).reshape(-1, 50, 32)
        return {
            "image": jax.nn.sigmoid(self.decoders["image"](wide["image"])),
            "text": self.vocabulary(text),
            "audio": jnp.tanh(self.decoders["audio"](wide["audio"])[..., 0]),
        }


# %% [markdown]
# The loss: the three-way contrast, and a reconstruction that fits each sense, weighted so that none drowns the others. Texts are
# read with a tenth of their words missing, drawn anew each time: ten thousand sentences are few enough to be learned by heart.

# %%
WEIGHTS = {"image": 1.0, "text": 0.01, "audio": 1.0}


def objective(model: Senses, batch: dict, key: jax.Array, updates: jax.Array):
    units = model.encode(augment(batch, key, {"text": Forgetful(0.1)}))
    made = model.decode(units)
    parts = {"contrast": contrastive_loss(*units.values(), temperature=0.04, weights=batch["alignment_score"])}
    errors = {"image": "squared", "text": "cross_entropy", "audio": "squared"}
    parts |= {name: reconstruction_loss(name, batch[name], made[name], error=errors[name]) for name in NAMES}
    return parts["contrast"] + sum(WEIGHTS[name] * parts[name] for name in NAMES), parts


# %% [markdown]
# Validation: every direction, each query among a hundred, beside what an ideal observer reaches who knows how the data were made.


# %%
@nnx.jit
def encode(model: Senses, batch: dict) -> dict[str, jax.Array]:
    return model.encode(batch)


def validate(model: Senses, gallery: int = 100) -> dict[str, dict[str, float]]:
    recalls = {f"{a}->{b}": [] for a in NAMES for b in NAMES if a != b}
    for start in range(0, len(validation) - gallery + 1, gallery):
        units = {k: np.asarray(v) for k, v in encode(model, validation.read(range(start, start + gallery))).items()}
        for direction, found in recalls.items():
            a, b = direction.split("->")
            found.append((units[a] @ units[b].T).argmax(1) == np.arange(gallery))
    ceilings = {direction: validation.ceiling(*direction.split("->"), gallery=gallery) for direction in recalls}
    return {d: {"recall@1": float(np.mean(found)), "ceiling": ceilings[d]} for d, found in recalls.items()}


# %% [markdown]
# Training. An epoch is an iterator whose position could be saved; the weights of the best epoch are kept.

# %%
steps = EPOCHS * (len(train) // BATCH)
step = Step(Senses(rngs=nnx.Rngs(SEED)), objective, adamw(2e-3, steps, weight_decay=0.1), seed=SEED)
best, start = 0.0, time.perf_counter()
for epoch in range(EPOCHS):
    for batch in train.epoch(BATCH, seed=SEED + epoch):
        told = step(batch)
    model = step.model()
    measured = validate(model)
    score = float(np.mean([m["recall@1"] for m in measured.values()]))
    if score > best:
        best = score
        save_weights(model, home / "best.safetensors")
        write_json(home / "best.json", {"epoch": epoch + 1, "validation": measured})
    losses = "  ".join(f"{name} {float(value):.3f}" for name, value in told.items() if value.dtype == np.float32)
    print(f"epoch {epoch + 1}/{EPOCHS}  R@1 {score:.3f}  {losses}  {time.perf_counter() - start:.0f} s", flush=True)

# %% [markdown]
# The best epoch, read back from its file, direction by direction.

# %%
model = load_weights(Senses(rngs=nnx.Rngs(SEED)), home / "best.safetensors")
kept = json.loads((home / "best.json").read_text())
for direction, m in validate(model).items():
    share = m["recall@1"] / m["ceiling"]
    print(f"{direction:13} R@1 {m['recall@1']:.3f} of 100, best possible {m['ceiling']:.3f}: {share:.0%}")
assert validate(model) == kept["validation"], "what was saved is what was measured"
