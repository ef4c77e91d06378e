"""X-CLIP (Ni et al. 2022): CLIP's vision transformer on the frames of a clip, which tell each other what they see."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float, Num

from sensorium.core.encoding import Encoding
from sensorium.encoders.published_video import cut
from sensorium.nn.pooling import masked_mean
from sensorium.nn.sizes import check_heads, whole
from sensorium.nn.stack import Stack
from sensorium.nn.standard import LayerNorm, Perceptron, StandardLayer, looks, taken

Frames = Float[jax.Array, "B T L E"]


class Attention(nnx.Module):
    """Of some tokens to others (Vaswani et al. 2017, equation 1). `bias`: of queries, keys and values."""

    def __init__(self, width: int, heads: int, bias: bool, *, rngs: nnx.Rngs):
        self.heads = heads
        self.query, self.key, self.value = (nnx.Linear(width, width, use_bias=bias, rngs=rngs) for _ in range(3))
        self.out = nnx.Linear(width, width, rngs=rngs)

    def __call__(
        self, x: Float[jax.Array, "B Q D"], to: Float[jax.Array, "B L D"], kept: Bool[jax.Array, "B L"] | None
    ) -> Float[jax.Array, "B Q D"]:
        q, k, v = (
            part(y).reshape(*y.shape[:2], self.heads, -1) for part, y in ((self.query, x), (self.key, to), (self.value, to))
        )
        return self.out(taken(looks(q, k, _seen(kept)), v).reshape(x.shape))


class FrameLayer(nnx.Module):
    """A layer of CLIP in which every frame sees beside its own tokens a message of the other frames (Ni et al. 2022, section
    3.2): the first tokens of all frames, mixed by attention."""

    def __init__(self, said: Mapping[str, Any], *, rngs: nnx.Rngs):
        width, eps = said["width"], said.get("eps", 1e-5)
        self.message = nnx.Linear(width, width, rngs=rngs)
        self.norm_message = LayerNorm(width, eps)
        self.mix = Attention(width, said["heads"], True, rngs=rngs)
        self.own = StandardLayer(**said, rngs=rngs)

    def __call__(self, x: Frames, kept: Bool[jax.Array, "B T"] | None) -> Frames:
        b, t, places, d = x.shape
        message = self.message(x[:, :, 0])
        normed = self.norm_message(message)
        message = message + self.mix(normed, normed, kept)
        joined = jnp.concatenate([x, message[:, :, None]], axis=2)
        return self.own(joined.reshape(b * t, places + 1, d)).reshape(b, t, places + 1, d)[:, :, :places]


class Integration(Stack):
    """One vector a frame to one a clip: a transformer over frames, added to what goes in, then their mean (section 3.2)."""

    def __init__(self, frames: int, layers: Mapping[str, Any], *, rngs: nnx.Rngs):
        said = dict(layers)
        depth = said.pop("depth")
        self.positions = nnx.Param(0.02 * jax.random.normal(rngs.params(), (frames, said["width"])))
        self.layers = nnx.List([StandardLayer(**said, rngs=rngs) for _ in range(depth)])

    def __call__(self, x: Float[jax.Array, "B T D"], kept: Bool[jax.Array, "B T"] | None) -> Float[jax.Array, "B D"]:
        return _mean(self.through(x + self.positions[...][None], _seen(kept)) + x, kept)


class PromptLayer(nnx.Module):
    """Texts look at a clip, then go through a perceptron."""

    def __init__(self, width: int, heads: int, activation: str, eps: float, *, rngs: nnx.Rngs):
        check_heads(width, heads)
        self.norm, self.norm_perceptron = LayerNorm(width, eps), LayerNorm(width, eps)
        self.look = Attention(width, heads, False, rngs=rngs)
        self.perceptron = Perceptron(width, 4 * width, width, activation, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B C D"], clip: Float[jax.Array, "B L D"]) -> Float[jax.Array, "B C D"]:
        x = x + self.look(self.norm(x), clip, None)
        return x + self.perceptron(self.norm_perceptron(x))


class Prompts(nnx.Module):
    """What a clip adds to the vectors of texts (Ni et al. 2022, section 3.3). `prompts`: "depth", "heads", "activation" and
    "eps" of its layers; `width`: of texts and clips, `seen`: of the patches."""

    def __init__(self, width: int, seen: int, seen_eps: float, prompts: Mapping[str, Any], *, rngs: nnx.Rngs):
        said = dict(prompts)
        depth = said.pop("depth")
        self.norm_seen = LayerNorm(seen, seen_eps)
        self.project = nnx.Linear(seen, width, use_bias=False, rngs=rngs)
        self.norm = LayerNorm(width, seen_eps)
        self.layers = nnx.List([PromptLayer(width, **said, rngs=rngs) for _ in range(depth)])
        self.scale = nnx.Param(0.1 * jnp.ones(width))

    def __call__(
        self, texts: Float[jax.Array, "C D"], patches: Frames, kept: Bool[jax.Array, "B T"]
    ) -> Float[jax.Array, "B C D"]:
        b, t, places, _ = patches.shape
        seen = self.project(self.norm_seen(patches)).reshape(b, t, -1)
        clip = self.norm(_mean(seen, kept).reshape(b, places, -1))
        start = jnp.broadcast_to(texts[None], (len(clip), *texts.shape))
        added = start
        for layer in self.layers:
            added = layer(added, clip)
        return start + self.scale[...][None, None] * added


class PublishedXCLIP(nnx.Module):
    """Clips u8[B T H W 3], or pixels f32[B T H W 3] as the checkpoint's own preprocessing makes them -> Encoding.

    The tokens are the last hidden state of all frames, one frame after another, each with its first token before its patches;
    `pooled` is the vector of the clip, as wide as `over`. `layers`: arguments of `StandardLayer`, and "depth"; `over`: the same
    of the transformer over frames. `prompts`: see `Prompts`; without them, texts are as they are. A mask is of frames.
    """

    def __init__(
        self,
        size: int,
        frames: int,
        patch: int,
        layers: Mapping[str, Any],
        over: Mapping[str, Any],
        pixels: Mapping[str, Any],
        prompts: Mapping[str, Any] | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        said = dict(layers)
        depth, seen, eps = said.pop("depth"), said["width"], said.get("eps", 1e-5)
        self.size, self.frames, self.patch, self.pooled_width = size, whole("frames", frames), patch, over["width"]
        self.scale, self.mean, self.std = pixels["scale"], tuple(pixels["mean"]), tuple(pixels["std"])
        draw = lambda shape: nnx.Param(0.02 * jax.random.normal(rngs.params(), shape))  # noqa: E731
        self.patches = nnx.Linear(patch * patch * 3, seen, use_bias=False, rngs=rngs)
        self.first, self.positions = draw((seen,)), draw(((size // patch) ** 2 + 1, seen))
        self.norm_before, self.norm = LayerNorm(seen, eps), LayerNorm(seen, eps)
        self.layers = nnx.List([FrameLayer(said, rngs=rngs) for _ in range(depth)])
        self.project = nnx.Linear(seen, over["width"], use_bias=False, rngs=rngs)
        self.over = Integration(frames, over, rngs=rngs)
        self.prompts = None if prompts is None else Prompts(over["width"], seen, eps, prompts, rngs=rngs)

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        layers = {"width": 192, "depth": 6, "heads": 3, "hidden": 768, "activation": "quick_gelu"}
        over = {"width": 128, "depth": 1, "heads": 4, "hidden": 512, "activation": "quick_gelu"}
        pixels = {"scale": 1 / 127.5, "mean": [1.0] * 3, "std": [1.0] * 3}
        size = field.size[0] if isinstance(field.size, Sequence) else field.size
        return {"size": size, "frames": field.frames, "patch": 16, "layers": layers, "over": over, "pixels": pixels}

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> tuple["PublishedXCLIP", jax.Array]:
        clips = jax.random.randint(rngs.data(), (3, 3, 8, 8, 3), 0, 256).astype(jnp.uint8)
        layers = {"width": 8, "depth": 1, "heads": 2, "hidden": 16, "activation": "quick_gelu"}
        pixels = {"scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3}
        return cls(8, 3, 4, layers, layers | {"width": 6}, pixels, rngs=rngs), clips

    def __call__(self, x: Num[jax.Array, "B T H W 3"], mask: Bool[jax.Array, "B T"] | None = None) -> Encoding:
        last = self.states(x, mask)[-1]
        pooled = self.over(self.project(self.norm(last[:, :, 0])), mask)
        kept = jnp.ones(last.shape[:2], bool) if mask is None else mask
        return Encoding(last.reshape(len(last), -1, last.shape[3]), jnp.repeat(kept, last.shape[2], axis=1), pooled)

    def prompted(self, texts: Float[jax.Array, "C D"], clips: Encoding) -> Float[jax.Array, "B C D"]:
        """The vectors of texts as each clip has them. A `ValueError` where there are no prompts."""
        if self.prompts is None:
            raise ValueError("this encoder has no prompts")
        tokens = clips.tokens.reshape(len(clips.tokens), self.frames, -1, clips.tokens.shape[2])
        return self.prompts(texts, tokens[:, :, 1:], clips.mask[:, :: tokens.shape[2]])

    def states(self, x: Num[jax.Array, "B T H W 3"], mask: Bool[jax.Array, "B T"] | None = None) -> list[jax.Array]:
        """What goes into the first layer, and what comes out of each: f32[B T L D]."""
        if x.shape[1:4] != (self.frames, self.size, self.size):
            got, built = (f"{t} frames of {h}×{w}" for t, h, w in (x.shape[1:4], (self.frames, self.size, self.size)))
            raise ValueError(f"clips of {got}, where this encoder is built for {built}")
        pixels = self.normalised(x).astype(self.patches.kernel.dtype)
        if mask is not None:
            pixels = jnp.where(mask[:, :, None, None, None], pixels, 0.0)
        tokens = self.patches(cut(pixels, 1, self.patch)).reshape(*x.shape[:2], -1, self.first.shape[0])
        first = jnp.broadcast_to(self.first[...], (*x.shape[:2], 1, tokens.shape[3]))
        tokens = jnp.concatenate([first, tokens], axis=2) + self.positions[...][None, None]
        out = [self.norm_before(tokens)]
        for layer in self.layers:
            out.append(layer(out[-1], mask))
        return out

    def normalised(self, x: Num[jax.Array, "B T H W 3"]) -> Float[jax.Array, "B T H W 3"]:
        """Pixels as the layers take them: u8 normalised, floats as they are."""
        if x.dtype != jnp.uint8:
            return x
        mean, std = (jnp.asarray(part, jnp.float32)[None, None, None, None] for part in (self.mean, self.std))
        return (x.astype(jnp.float32) * self.scale - mean) / std


def _seen(kept: Bool[jax.Array, "B T"] | None) -> Bool[jax.Array, "B 1 1 T"] | None:
    return None if kept is None else kept[:, None, None, :]


def _mean(x: Float[jax.Array, "B T D"], kept: Bool[jax.Array, "B T"] | None) -> Float[jax.Array, "B D"]:
    return masked_mean(x, jnp.ones(x.shape[:2], bool) if kept is None else kept)
