# %% [markdown]
# # Joint spaces: BERT and ViT apart, then one space for both
#
# BERT makes vectors of texts, ViT of pictures, and nobody told the two about each other. What does that mean, and what helps?
# Where the Hugging Face Hub can be reached (and `HF_HUB_OFFLINE` is not set) the published models are used, about 1.4 GB.
# Elsewhere small ones are made here, in the same layouts: BERT and ViT at random, and a CLIP that is trained on the built-in
# world. Run it: `python examples/04_joint_spaces.py` (about a minute on two cores).

# %%
import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax import nnx

from sensorium import Sensorium, load, show
from sensorium.core.errors import BadFile
from sensorium.losses import InfoNCE
from sensorium.nn.norms import unit
from sensorium.nn.pooling import masked_mean
from sensorium.pretrained.small import small
from sensorium.training import adamw, contrast, minimise
from sensorium.world import picture, scene

STEPS, SCENES = int(os.environ.get("STEPS", "300")), int(os.environ.get("SCENES", "1500"))
home = Path(os.environ.get("OUT", "runs/lab"))  # for models and figures
home.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# The data: pictures of one object each, what they show, and a dialogue that is about none of them.


# %%
def things(split, count):
    drawn = scene.draw(split, np.arange(16 * count))
    found = drawn[(drawn.count == 1) & (drawn.size[:, 0] == 1)][:count]  # one object, a large one
    words = zip(found.colour[:, 0], found.shape[:, 0], found.place[:, 0], strict=True)
    said = [f"a {scene.COLOURS[c]} {scene.SHAPES[s]} in the {scene.PLACES[p]}" for c, s, p in words]
    return found, list(picture.render(found)), said


(_, seen, told), (held, pictures, captions) = things("train", SCENES), things("validation", 100)
four, dialogue = pictures[:4], ["Cats don't usually", "like water", "but this one likes paint", "quite a lot"]
print(f"{len(seen)} pictures to learn from, {len(pictures)} held out; the first one: {captions[0]!r}")

# %% [markdown]
# ## Apart
# A thing's vector is the mean of its tokens. Pads do not count, nor does the first token, which stands for no word or patch.


# %%
def checkpoint(name, family, steps=0, depth=2):
    try:
        return load(name)
    except BadFile:
        print(f"{name} is not to be had here: a small {family} is made instead")
    card, fields = small(family, told + dialogue, size=36, patch=6, depth=depth)
    model = Sensorium(card.build(0), fields, card, family)
    if steps:
        learn(model.model, model.prepare(image=seen, text=told), 3e-3, steps)
    model.save_pretrained(home / family)
    return load(home / family)


def means(model, field, things):
    parts = []
    for start in range(0, len(things), 50):
        batch = model.prepare(**{field: things[start : start + 50]})
        tokens = model.outputs(**batch)[f"{field}/tokens"]
        mask = batch.get(f"{field}/mask", np.ones(tokens.shape[:2], bool)) & (np.arange(tokens.shape[1]) > 0)
        parts.append(unit(masked_mean(jnp.asarray(tokens), jnp.asarray(mask))))
    return np.concatenate(parts)


bert, vit = checkpoint("google-bert/bert-base-uncased", "bert"), checkpoint("google/vit-base-patch16-224-in21k", "vit")
image, text = means(vit, "image", pictures), means(bert, "text", captions + dialogue)


# %% [markdown]
# A cosine of two pictures means something, and so does that of two texts. That of a text and a picture does not. The map has
# colours all the same: look whether the framed cells, which are the pairs, are the largest of their rows and columns.


# %%
def maps(image, text, name):
    a, b, c, d = show.panels(2, 2)
    show.similarity(image[:4] @ image[:4].T, four, four, a, "pictures and pictures", pairs=True)
    show.similarity(text[:4] @ image[:4].T, captions[:4], four, b, "captions and pictures", pairs=True)
    show.similarity(text[-4:] @ text[:4].T, dialogue, captions[:4], c, "dialogue and captions")
    figure = show.similarity(text[-4:] @ image[:4].T, dialogue, four, d, "dialogue and pictures")
    figure.savefig(home / f"{name}.png")
    right = np.mean([captions[i] == captions[j] for i, j in enumerate((text[:-4] @ image.T).argmax(1))])
    print(f"{name}: for {right:.0%} of the captions the first of {len(image)} pictures is right")
    return figure


maps(image, text, "apart")

# %% [markdown]
# ## Joint projections
# Two linear layers into one space are as random to each other as what they stand on, until they learn from pairs: seconds.


# %%
class Joint(nnx.Module):
    def __init__(self, *, rngs):
        self.image = nnx.Linear(image.shape[1], 64, use_bias=False, rngs=rngs)
        self.text = nnx.Linear(text.shape[1], 64, use_bias=False, rngs=rngs)

    def __call__(self, batch, key=None):
        units = {"image/unit": unit(self.image(batch["image"])), "text/unit": unit(self.text(batch["text"]))}
        return units | {"scale": jnp.float32(1 / 0.07)}


def learn(model, batch, rate, steps):
    draw, batch = np.random.default_rng(0), batch | {"group": np.unique(told, return_inverse=True)[1].astype(np.int32)}
    some = (draw.choice(len(seen), min(64, len(seen)), replace=False) for _ in range(steps))
    stream = ({name: x[rows] for name, x in batch.items()} for rows in some)  # rows of a group are no negatives
    minimise(model, contrast({"pairs": (1.0, InfoNCE("image", "text"))}), stream, adamw(rate, steps, weight_decay=0.1), steps)


joint, frozen = Joint(rngs=nnx.Rngs(0)), {"image": means(vit, "image", seen), "text": means(bert, "text", told)}
z = joint({"image": image, "text": text})
maps(np.asarray(z["image/unit"]), np.asarray(z["text/unit"]), "random projections")
learn(joint, frozen, 1e-2, 2 * STEPS)
z = joint({"image": image, "text": text})
maps(np.asarray(z["image/unit"]), np.asarray(z["text/unit"]), "learned projections")

# %% [markdown]
# ## CLIP
# Now the encoders learn as well. The small one has the architecture of OpenAI's, and is saved in its layout.

# %%
clip = checkpoint("openai/clip-vit-base-patch32", "clip", STEPS, depth=1)
z = clip.encode(image=pictures, text=captions + dialogue)
maps(z["image"], z["text"], "CLIP")

# %% [markdown]
# Classes without training, and why: which patches make a picture like its caption. The world knows where the object is.

# %%
sentences = [f"a {{}} {shape} in the {place}" for shape in scene.SHAPES for place in scene.PLACES]
right = np.mean(clip.classify(pictures, scene.COLOURS, sentences).argmax(1) == held.colour[:, 0])
print(f"colours, without training: {right:.0%} right, chance {1 / len(scene.COLOURS):.0%}")
why = clip.explain(image=pictures, text=captions)
rows, columns = (np.arange(n) * 3 // n for n in why.shape[1:])
there = held.place[:, 0, None, None] == rows[None, :, None] * 3 + columns[None, None]
print(f"why: {np.mean((why * there).sum((1, 2)) / why.sum((1, 2))):.0%} of the map in the ninth with the object, chance 11%")
show.attention(list(clip.prepare(image=four)["image"]), why[:4], captions[:4]).savefig(home / "why.png")
