# %% [markdown]
# # Search a folder by words, by picture and by sound
#
# Pictures, captions and sounds become points on one sphere, near each other where they belong together. Here the folder
# is written by the built-in world, so that the example needs no data; put the path of your own in its place.
#
# Run it: `python examples/01_search_a_folder.py` (about a minute on a laptop), or open it as a notebook with jupytext.

# %%
import os
import tempfile
from pathlib import Path

import sensorium
from sensorium.data.synthetic import write_world
from sensorium.world import caption, scene

STEPS = int(os.environ.get("STEPS", "200"))  # updates; more is better
SCENES = int(os.environ.get("SCENES", "600"))
home = Path(tempfile.mkdtemp())
scenes = scene.distinct("train", SCENES)
write_world(home / "photos", scenes, [caption.render(scenes, "list")])

# %% [markdown]
# What is there? Every file is decoded; whatever is broken is listed with its cause, and left out.

# %%
health = sensorium.data.check(home / "photos")
print(f"{len(health.good)} items, {len(health.broken)} broken files, fields: {[field.name for field in health.fields]}")

# %% [markdown]
# A recipe is a function whose keyword arguments are its dials. A tenth of the items is kept apart, and measured on.

# %%
run = sensorium.train(sensorium.recipes.folder(home / "photos", steps=STEPS), out=home / "run")
for direction in ("text->image", "image->audio"):
    recall, chance = (run.metrics[f"{direction}/recall@1{part}"] for part in ("", "/chance"))
    print(f"{direction}: {recall:.0%} first of {run.metrics[f'{direction}/gallery']}, chance {chance:.1%}")

# %% [markdown]
# A collection keeps a vector for each picture, caption and sound, and refuses the queries of any other model.

# %%
model = sensorium.load(home / "run")
collection = sensorium.search.Collection.update(model, health.good, home / "photos.collection", root=home / "photos")
one = health.good[0].raws
for query in ({"text": "a red circle"}, {"image": one["image"][0]}, {"audio": one["audio"][0]}):
    print(f"\n{query}")
    for hit in collection.query(model, k=3, **query):
        print(f"  {hit.score:.3f} {hit.field:5} {hit.id}  {hit.caption}")
