"""Calls that a checker of types would stop, made as a user makes them: without one. Prints what each says, as JSON."""

# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false

import json
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from sensorium.multi_modal import encoders, fusion, generators
from sensorium.multi_modal.losses import contrastive_loss

R = nnx.Rngs
PICTURE, SOUND, IDS, VECTORS = (
    np.zeros((8, 8, 3), np.float32),
    np.zeros(160, np.float32),
    np.array([1, 2]),
    jnp.ones((3, 4)),
)
CLIP, ONES = np.zeros((4, 8, 8, 3), np.float32), np.ones(2, int)


@cache
def built(name: str) -> Any:
    """The model of a name, built when a call asks for it: whoever reads the list of calls builds none."""
    make = {
        "text": lambda: encoders.TextEncoder(11, 8, 8, rngs=R(0), num_layers=1, num_heads=2),
        "eye": lambda: encoders.ImageEncoder(8, rngs=R(0), image_size=8, backbone="convnet", width=8),
        "ear": lambda: encoders.AudioEncoder(8, 160, rngs=R(0), sample_rate=4000, width=8, depth=1),
        "painter": lambda: generators.TextToImageGenerator(20, 8, (8, 8, 3), rngs=R(0), max_length=6, hidden_dim=16),
        "listener": lambda: generators.AudioToImageGenerator(160, (8, 8, 3), 16, rngs=R(0)),
        "writer": lambda: generators.ImageToTextGenerator((8, 8, 3), 12, 6, 16, rngs=R(0), num_heads=2, num_layers=1),
    }
    return make[name]()


BATCH = {"image": PICTURE[None], "text": np.ones((1, 6), np.int32)}

INTEGERS, BOOL, ARRAY = "expected integers", "where a bool is needed: compare", "expected an array, got a list"
WHOLE = "expected a whole number of 1 or more"
CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "float ids": (lambda: built("text")(np.array([1.0, 2.9])), f"float64: {INTEGERS}"),
    "bool ids": (lambda: built("text")(np.array([True, False])), f"bool: {INTEGERS}"),
    "listed ids": (lambda: built("text")([1, 2]), f"token ids: {ARRAY}"),
    "no ids": (lambda: built("text")(np.zeros((2, 0), np.int32)), "with one token or more"),
    "int mask of a text": (lambda: built("text")(IDS, ONES), BOOL),
    "listed mask of a text": (lambda: built("text")(IDS, [True, False]), ARRAY),
    "listed pictures": (lambda: built("eye")([[0.1]]), f"pictures: {ARRAY}"),
    "listed sounds": (lambda: built("ear")([0.1] * 160), f"sounds: {ARRAY}"),
    "int mask of a sound": (lambda: built("ear")(SOUND, np.ones(160, int)), BOOL),
    "float ids to draw": (lambda: built("painter")(np.array([1.0, 2.0])), "type float64: expected token ids"),
    "listed ids to draw": (lambda: built("painter")([1, 2]), f"token ids: {ARRAY}"),
    "int mask of ids to draw": (lambda: built("painter")(IDS, ONES), BOOL),
    "float mask of a sound to draw": (lambda: built("listener")(SOUND, SOUND), BOOL),
    "listed text to score": (lambda: built("writer").logits(PICTURE, [1, 2]), ARRAY),
    "int mask to score": (lambda: built("writer").logits(PICTURE, IDS, ONES), BOOL),
    "int rows that are here": (lambda: built("writer").loss(BATCH | {"image/here": np.ones(1, int)}), BOOL),
    "half a word": (lambda: built("writer").generate(PICTURE, rngs=0, top_k=2.5), f"top_k=2.5: {WHOLE}"),
    "half a beam": (lambda: built("writer").generate(PICTURE, beams=2.0), f"beams=2.0: {WHOLE}"),
    "no penalty": (lambda: built("writer").generate(PICTURE, length_penalty=float("nan")), "length_penalty=nan"),
    "too smooth": (lambda: built("writer").loss(BATCH, label_smoothing=2.0), "label_smoothing=2.0: expected a share from 0 to 1"),
    "below smooth": (lambda: built("writer").loss(BATCH, label_smoothing=-1.0), "label_smoothing=-1.0"),
    "one batch": (lambda: built("writer").fit(BATCH, 2), r"one batch, of image, text: give a source or .*\[batch\] \* 2"),
    "listed groups": (lambda: contrastive_loss(VECTORS, VECTORS, groups=[0, 1, 1]), r"groups are i32\[3\], got list"),
    "listed weights": (lambda: contrastive_loss(VECTORS, VECTORS, weights=[1.0] * 3), r"weights are f32\[3\].*got list"),
    "a switch for a modality": (
        lambda: fusion.GatedFusion({"image": 4}, 4, rngs=R(0))(image=VECTORS, training=True),
        "training=True: neither features of a modality nor an option",
    ),
    "a switch for an embedding": (lambda: fusion.late_fusion(VECTORS, VECTORS, training=True), "training=True: neither"),
    "a switch for an array": (lambda: fusion.early_fusion(PICTURE, training=True), "training=True: neither"),
    "bytes of a sound": (lambda: fusion.early_fusion(PICTURE, None, SOUND.astype(np.int16)), "int16.*divide by full scale"),
    "max_length": (lambda: generators.ImageToTextGenerator((8, 8, 3), 12, 0, rngs=R(0)), f"max_length=0: {WHOLE}"),
    "hidden_dim": (lambda: generators.ImageToTextGenerator((8, 8, 3), 12, 6, 0, rngs=R(0)), f"hidden_dim=0: {WHOLE}"),
    "num_heads": (lambda: generators.ImageToTextGenerator((8, 8, 3), 12, 6, rngs=R(0), num_heads=0), f"num_heads=0: {WHOLE}"),
    "heads": (lambda: fusion.MultiModalAttentionFusion(64, 0, rngs=R(0)), f"heads=0: {WHOLE}"),
    "audio_length": (lambda: encoders.AudioEncoder(16, 0, rngs=R(0)), f"audio_length=0: {WHOLE}"),
    "output_dim": (lambda: fusion.MultiModalProjector({"image": 4}, 4, 0, rngs=R(0)), f"width=0: {WHOLE}"),
    "sampling": (lambda: encoders.VideoEncoder(16, rngs=R(0), sampling="rand"), "called 'rand'. Did you mean 'random'"),
}

if __name__ == "__main__":
    told = {}
    for name, (call, _) in CASES.items():
        try:
            call()
            told[name] = "nothing"
        except Exception as error:  # whatever it is, the test reads it
            told[name] = f"{type(error).__name__}: {error}"
    # One number of an array is a number: it has no hash, but what is kept by it has.
    drawn = [np.asarray(built("writer").generate(PICTURE, rngs=0, temperature=t)).tolist() for t in (jnp.float32(0.5), 0.5)]
    told["a temperature that is an array"] = str(drawn[0] == drawn[1])
    sys.stdout.write(json.dumps(told))
