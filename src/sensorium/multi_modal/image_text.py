"""Pictures and texts as unit vectors: one or a batch in, one or a batch out."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Bool, Float, Int, Num

from sensorium.core.encoding import Encoder, Encoding
from sensorium.core.errors import UnknownName, nearest
from sensorium.encoders import ConvNet, TokenTransformer, ViT
from sensorium.modalities import Text
from sensorium.modalities.tokenizer import END, PAD
from sensorium.multi_modal.arrays import arrayed, check_ids, check_range, flags
from sensorium.nn.norms import unit
from sensorium.nn.sizes import whole

BACKBONES = ("convnet", "vit")
Pictures = Num[jax.Array, "*B H W C"] | Num[np.ndarray, "*B H W C"]
Ids = Int[jax.Array, "*M L"] | Int[np.ndarray, "*M L"]
Mask = Bool[jax.Array, "*M L"] | Bool[np.ndarray, "*M L"]


class ImageEncoder(nnx.Module):
    """Pictures, channels last, f32 in [0, 1] or u8: `(H, W, 3)` -> unit `(D,)`, `(B, H, W, 3)` -> unit `(B, D)`.

    `backbone="vit"` is a vision transformer with positions (Dosovitskiy et al. 2021; by default ViT-S/16): it is built for
    `image_size` (a side, or height and width) and reads other sizes as well, where `patch` divides them, with resampled
    positions. `"convnet"` is a small convolutional net for pictures of exactly `image_size`, quick to train on a CPU; its
    last grid is laid side by side, so that places stay apart. An `Encoder` of your own (u8 or [-1, 1] in) goes there too.
    `patch`, `width` and `depth` default to 16, 384 and 12 (vit) or to 4, 128 and 3 (convnet: the width of the last of `depth`
    grids, each half as wide as the next). A ViT has a head for every 64 of its width, and at least one.
    """

    def __init__(
        self,
        embed_dim: int = 512,
        *,
        rngs: nnx.Rngs,
        image_size: int | Sequence[int] = 224,
        backbone: str | Encoder = "vit",
        patch: int | None = None,
        width: int | None = None,
        depth: int | None = None,
    ):
        self.embed_dim = whole("embed_dim", embed_dim)
        height, across = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.image_size = (height, across)
        if not isinstance(backbone, str):
            if (patch, width, depth) != (None, None, None):
                raise ValueError("patch, width and depth are for a backbone by name: an encoder that is built has its own")
            self.backbone = backbone
        elif backbone == "vit":
            width = width or 384
            heads = max(1, width // 64)
            self.backbone = ViT(self.image_size, patch or 16, width, depth or 12, heads, rngs=rngs)
        elif backbone == "convnet":
            self.backbone = _convnet(self.image_size, patch or 4, width or 128, depth or 3, rngs)
        else:
            raise UnknownName(f"no backbone is called {backbone!r}.{nearest(backbone, BACKBONES)}")
        self.projection = nnx.Linear(self.backbone.pooled_width, embed_dim, use_bias=False, rngs=rngs)

    def __call__(self, images: Pictures) -> Float[jax.Array, "*B D"]:
        pictures, one = as_pictures(images)
        out = unit(self.projection(self.backbone(pictures).pooled))
        return out[0] if one else out

    def encode(self, images: Pictures) -> Encoding:
        """What the backbone makes of them, before the projection: a token a patch or cell, and the pooled vector.

        One picture gives the same without the axis of rows.
        """
        pictures, one = as_pictures(images)
        encoding = self.backbone(pictures)
        return Encoding(*(part[0] for part in encoding)) if one else encoding


class TextEncoder(nnx.Module):
    """Token ids: `(L,)` -> unit `(D,)`, `(B, L)` -> unit `(B, D)`, for any L up to `max_len`. Rows never mix.

    Padding (`pad_id`, or where `mask` is False) is never heard, so a text may have any amount of it; a text of nothing but
    padding gives the zero vector. `pooling`: "mean" (of the real tokens), "eos" (the token at the first `eos_id`, else the
    last real one), "cls" (a learned token before the text), "map" (attention), or "flatten" (the tokens side by side, for
    short texts of a fixed form). `vocab_size` is the tokenizer's. Ids outside of it are an error, except inside a compiled
    function, where they cannot be seen.
    """

    def __init__(
        self,
        vocab_size: int = 30000,
        embed_dim: int = 512,
        max_len: int = 77,
        *,
        rngs: nnx.Rngs,
        num_layers: int = 6,
        num_heads: int = 8,
        pooling: str = "mean",
        pad_id: int = 0,
        eos_id: int = 1,
    ):
        self.vocab_size, self.embed_dim = whole("vocab_size", vocab_size), whole("embed_dim", embed_dim)
        self.max_len = whole("max_len", max_len)
        self.pad_id, self.eos_id = pad_id, eos_id
        self.backbone = TokenTransformer(vocab_size, max_len, embed_dim, num_layers, num_heads, pooling, eos_id, rngs=rngs)
        self.projection = nnx.Linear(self.backbone.pooled_width, embed_dim, use_bias=False, rngs=rngs)

    @classmethod
    def for_field(cls, field: Text, embed_dim: int = 512, *, rngs: nnx.Rngs, num_layers: int = 6) -> "TextEncoder":
        """The encoder whose vocabulary, length and special ids are those of a field of texts."""
        size, length = field.vocabulary_size, field.length
        return cls(size, embed_dim, length, rngs=rngs, num_layers=num_layers, pad_id=PAD, eos_id=END)

    def __call__(self, tokens: Ids, mask: Mask | None = None) -> Float[jax.Array, "*M D"]:
        out = unit(self.projection(self._encode(tokens, mask).pooled))
        return out[0] if tokens.ndim == 1 else out

    def encode(self, tokens: Ids, mask: Mask | None = None) -> Encoding:
        """What the transformer makes of them, before the projection; one text gives the same without the axis of rows."""
        encoding = self._encode(tokens, mask)
        return Encoding(*(part[0] for part in encoding)) if tokens.ndim == 1 else encoding

    def _encode(self, tokens: Ids, mask: Mask | None) -> Encoding:
        shape = arrayed("token ids", tokens).shape
        if len(shape) not in (1, 2) or not shape[-1]:
            raise ValueError(f"token ids of shape {shape}: expected (L,) or (B, L), with one token or more")
        mask = None if mask is None else flags("the mask of the tokens", mask, shape)
        check_ids("encoder", tokens, self.vocab_size)
        ids = jnp.asarray(tokens)
        ids = ids if ids.ndim == 2 else ids[None]
        kept = real_tokens(ids, self.pad_id, self.eos_id) if mask is None else mask.reshape(ids.shape)
        return self.backbone(ids, kept)


def as_pictures(images: Pictures) -> tuple[Float[jax.Array, "B H W 3"], bool]:
    """A batch f32 in [-1, 1] of one picture or of many, and whether it was one; a `ValueError` for what is no picture."""
    shape = arrayed("pictures", images).shape
    if len(shape) not in (3, 4) or shape[-1] != 3:
        hint = ""
        if len(shape) in (3, 4) and shape[-3] == 3:
            axes = "(1, 2, 0)" if len(shape) == 3 else "(0, 2, 3, 1)"
            hint = f" Channels come last here: this looks like channels first, give images.transpose{axes}."
        raise ValueError(f"pictures of shape {shape}: expected (H, W, 3) or (B, H, W, 3).{hint}")
    pictures = jnp.asarray(images)
    if pictures.dtype == jnp.uint8:
        pictures = pictures.astype(jnp.float32) / 255.0
    elif not jnp.issubdtype(pictures.dtype, jnp.floating):
        raise ValueError(f"pictures of {pictures.dtype}: expected f32 in [0, 1] or u8")
    else:
        check_range("pictures", images, 0.0, 1.0, " where they are floats; divide by 255, or undo the normalisation")
    pictures = pictures.astype(jnp.float32) * 2.0 - 1.0
    return (pictures[None], True) if len(shape) == 3 else (pictures, False)


def real_tokens(ids: Int[jax.Array, "B L"], pad_id: int, eos_id: int) -> Bool[jax.Array, "B L"]:
    """Where a token is no padding. Where one id means both the end and padding, the first of a row is the end."""
    padding = ids == pad_id
    return ~padding if pad_id != eos_id else jnp.cumsum(padding, axis=1) - padding.astype(jnp.int32) == 0


def _convnet(size: tuple[int, int], patch: int, width: int, depth: int, rngs: nnx.Rngs) -> ConvNet:
    whole("patch", patch)
    if any(side % patch or side < 1 for side in size):
        raise ValueError(f"pictures of {size[0]}×{size[1]} cannot be cut into patches of {patch}×{patch}: choose another patch")
    widths = [max(4, width >> halvings) for halvings in reversed(range(depth))]
    return ConvNet(size, 3, patch, widths, rngs=rngs)
