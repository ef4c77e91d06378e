"""Sounds, clips and traces of sensors as unit vectors: one or a batch in, one or a batch out."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.core import Tracer
from jaxtyping import Bool, Float, Int, Num

from sensorium.core.encoding import Encoding
from sensorium.core.errors import UnknownName, nearest
from sensorium.core.randomness import key_of
from sensorium.core.table import Table
from sensorium.encoders import AudioTransformer, ResNet3D, SensorTransformer, VideoTransformer, WaveTransformer
from sensorium.encoders.video import FPS
from sensorium.modalities.audio import LOUDEST
from sensorium.multi_modal.arrays import arrayed, blanked, check_range, flags
from sensorium.nn.frames import SAMPLINGS, sample_frames
from sensorium.nn.norms import unit
from sensorium.nn.sizes import whole

Numbers = Num[jax.Array, "..."] | Num[np.ndarray, "..."]
Mask = Bool[jax.Array, "..."] | Bool[np.ndarray, "..."]
FRONT_ENDS = Table("front end", {"log_mel": AudioTransformer, "wave": WaveTransformer})
BACKBONES = Table("backbone", {"frames": VideoTransformer, "r3d_18": ResNet3D})


class AudioEncoder(nnx.Module):
    """Sounds f32 in [-1, 1]: `(N,)` -> unit `(D,)`; `(B, N)`, or `(B, 1, N)` with its one channel, -> unit `(B, D)`.

    N is `audio_length` or less: a shorter sound is its own length, and what fills up a sound of a batch is named by `mask`
    (Bool, the shape of the sounds: True = real) or by `lengths` (in samples); it is neither heard nor pooled. A sound without
    any real sample gives the zero vector.

    `front_end="log_mel"` hears what an ear does; `"wave"` learns its filters on the wave itself and keeps the phase. `pooling`
    is "attention", "mean" or "flatten" (the moments side by side). `width` and `depth` are the transformer's. `rate`, where it
    is given, must be `sample_rate`: nothing is resampled in secret.
    """

    def __init__(
        self,
        embed_dim: int = 512,
        audio_length: int = 16000,
        *,
        rngs: nnx.Rngs,
        sample_rate: int = 16000,
        front_end: str = "log_mel",
        pooling: str = "attention",
        width: int = 128,
        depth: int = 2,
    ):
        self.embed_dim, self.sample_rate = whole("embed_dim", embed_dim), sample_rate
        self.audio_length = whole("audio_length", audio_length)
        arguments = {"width": width, "depth": depth, "pooling": pooling}
        self.encoder = FRONT_ENDS[front_end](audio_length, sample_rate, **arguments, rngs=rngs)
        self.projection = nnx.Linear(self.encoder.pooled_width, embed_dim, use_bias=False, rngs=rngs)

    def __call__(
        self,
        sounds: Numbers,
        mask: Mask | None = None,
        *,
        lengths: Int[jax.Array, "..."] | Int[np.ndarray, "..."] | Sequence[int] | int | None = None,
        rate: int | None = None,
    ) -> Float[jax.Array, "*B D"]:
        encoding = self.encode(sounds, mask, lengths=lengths, rate=rate)
        return unit(self.projection(encoding.pooled))

    def encode(
        self,
        sounds: Numbers,
        mask: Mask | None = None,
        *,
        lengths: Int[jax.Array, "..."] | Int[np.ndarray, "..."] | Sequence[int] | int | None = None,
        rate: int | None = None,
    ) -> Encoding:
        """A token every 20 ms and the pooled vector, before the projection; one sound gives the same without rows."""
        if rate is not None and rate != self.sample_rate:
            raise ValueError(
                f"a sound at {rate} Hz, where this encoder was built for {self.sample_rate} Hz: resample it first, as "
                f"sensorium.modalities.Audio(rate={self.sample_rate}, seconds=…).prepare((sound, {rate})) does"
            )
        x = _sounds(sounds)
        if x.ndim == 3 and mask is not None and np.ndim(mask) == 3:
            mask = mask[:, 0]
        x = x[:, 0] if x.ndim == 3 else x
        if lengths is not None:
            mask = _within(lengths, mask, x)
        rows, kept = _fitted(x, mask, self.audio_length, 1, ("a sound", "samples", "audio_length"))
        advice = "; divide by the full scale (32768 for 16 bits), and mask what is missing"
        check_range("sounds", blanked(rows, kept), -1.0, 1.0, advice, LOUDEST - 1.0)
        return _one_or_batch(self.encoder(rows, kept), x.ndim == 1)

    def token_times(self) -> Float[jax.Array, " L"]:
        """When the tokens of `encode` stand: the middle of each, in seconds. See `nn.frames.at_times`."""
        step = self.encoder.step
        return (jnp.arange(-(-self.audio_length // step), dtype=jnp.float32) + 0.5) * (step / self.sample_rate)


class VideoEncoder(nnx.Module):
    """Clips, channels last, f32 in [0, 1] or u8: `(T, H, W, 3)` -> unit `(D,)`, `(B, T, H, W, 3)` -> unit `(B, D)`.

    `num_frames` of the T frames are looked at: "uniform", "segment" or "random" `sampling` (see `nn.frames.sample_frames`). A
    clip with fewer is its own length: what fills it up is masked and changes nothing, and `mask` (Bool, `(T,)` or `(B, T)`) names
    the frames of a batch that are real. A clip without any gives the zero vector.

    `backbone="frames"` looks at each frame of `size` (a side, or height and width) with a small convolutional net, then attends
    over time; frames stand at `times` (seconds), or 25 a second. `"r3d_18"` is the 3-D ResNet of Tran et al. 2018 with the
    normalisation of Kinetics, for frames of any size; its weights are drawn, not fetched. `width` is 128 for "frames", and
    the 64 of the first stage for "r3d_18". `pooling` ("attention", "mean", "flatten") is for "frames"; "r3d_18" takes the mean.
    """

    def __init__(
        self,
        embed_dim: int = 512,
        num_frames: int = 16,
        *,
        rngs: nnx.Rngs,
        backbone: str = "frames",
        size: int | Sequence[int] = 112,
        sampling: str = "uniform",
        width: int | None = None,
        pooling: str | None = None,
    ):
        if sampling not in SAMPLINGS:
            raise UnknownName(f"no sampling of frames is called {sampling!r}.{nearest(sampling, SAMPLINGS)}")
        self.embed_dim, self.sampling = whole("embed_dim", embed_dim), sampling
        self.num_frames = whole("num_frames", num_frames)
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.encoder: VideoTransformer | ResNet3D
        if BACKBONES[backbone] is ResNet3D:
            if pooling not in (None, "mean"):
                raise ValueError(f"pooling={pooling!r}: r3d_18 pools by the mean; leave it out, or take backbone='frames'")
            first = width or 64
            self.encoder = ResNet3D(num_frames, (first, 2 * first, 4 * first, 8 * first), rngs=rngs)
        else:
            arguments = {"width": width or 128, "pooling": pooling or "attention"}
            self.encoder = VideoTransformer(num_frames, self.size, **arguments, rngs=rngs)
        self.projection = nnx.Linear(self.encoder.pooled_width, embed_dim, use_bias=False, rngs=rngs)

    def __call__(
        self,
        clips: Numbers,
        mask: Mask | None = None,
        *,
        times: Numbers | None = None,
        key: jax.Array | nnx.Rngs | int | None = None,
        train: bool = False,
    ) -> Float[jax.Array, "*B D"]:
        """`key` draws the frames of sampling "random" (which needs one) and "segment". `train=True` lets the batch norms of
        r3d_18 use and move their statistics; "frames" has none."""
        return unit(self.projection(self.encode(clips, mask, times=times, key=key, train=train).pooled))

    def encode(
        self,
        clips: Numbers,
        mask: Mask | None = None,
        *,
        times: Numbers | None = None,
        key: jax.Array | nnx.Rngs | int | None = None,
        train: bool = False,
    ) -> Encoding:
        """A token a frame ("frames") or a cell ("r3d_18"), and the pooled vector; one clip gives the same without rows."""
        x = _clips(clips)
        one = x.ndim == 4
        rows, kept = _fitted(x, mask, None, 4, ("a clip", "frames", ""))
        if rows.dtype != jnp.uint8:
            check_range("clips", blanked(rows, kept), 0.0, 1.0, " where they are floats; divide by 255")
        index, seen = sample_frames(kept, self.num_frames, self.sampling, None if key is None else key_of(key))
        chosen = _scaled(rows[jnp.arange(len(rows))[:, None], index])
        if isinstance(self.encoder, ResNet3D):
            if times is not None:
                raise ValueError("times= with r3d_18, which takes its frames as evenly spaced: leave them out, or use 'frames'")
            return _one_or_batch(self.encoder(chosen, seen, train=train), one)
        if x.shape[-3:-1] != self.size:
            raise ValueError(
                f"frames of {x.shape[-3]}×{x.shape[-2]}, where this encoder was built for {self.size[0]}×{self.size[1]}: "
                "resize them, or build it with size=…"
            )
        at = jnp.take_along_axis(_times(times, x.shape[:-3], len(rows)), index, axis=1)
        return _one_or_batch(self.encoder(chosen, seen, at), one)


class SensorEncoder(nnx.Module):
    """Traces of `channels` sensors in units of their own: `(T, C)` -> unit `(D,)`, `(B, T, C)` -> unit `(B, D)`.

    T is `length` or less. `mask` (Bool, `(T,)` or `(B, T)`) is True where there was a measurement: gaps, and what fills up a
    shorter trace, change nothing by the numbers that stand there (NaN too). A trace without any measurement gives the zero
    vector. With `mean` and `std` (one a channel, of your training data) these are taken out; without them each trace is
    standardised by itself, and its level and scale are told beside it. `pooling`: "attention", "mean" or "flatten".
    """

    def __init__(
        self,
        embed_dim: int = 512,
        channels: int = 6,
        length: int = 128,
        *,
        rngs: nnx.Rngs,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        pooling: str = "attention",
        width: int = 64,
    ):
        self.embed_dim, self.channels = whole("embed_dim", embed_dim), whole("channels", channels)
        self.length = whole("length", length)
        self.encoder = SensorTransformer(length, channels, mean, std, width=width, pooling=pooling, rngs=rngs)
        self.projection = nnx.Linear(self.encoder.pooled_width, embed_dim, use_bias=False, rngs=rngs)

    def __call__(self, traces: Numbers, mask: Mask | None = None) -> Float[jax.Array, "*B D"]:
        return unit(self.projection(self.encode(traces, mask).pooled))

    def encode(self, traces: Numbers, mask: Mask | None = None) -> Encoding:
        """A token for every 8 moments, and the pooled vector, before the projection; one trace gives the same without rows."""
        shape = arrayed("traces", traces).shape
        if len(shape) not in (2, 3) or shape[-1] != self.channels:
            turned = len(shape) in (2, 3) and shape[-2] == self.channels
            hint = " This looks like channels first: give traces.swapaxes(-1, -2)." if turned else ""
            raise ValueError(f"traces of shape {shape}: expected (T, {self.channels}) or (B, T, {self.channels}).{hint}")
        x = jnp.asarray(traces).astype(jnp.float32)
        rows, kept = _fitted(x, mask, self.length, 2, ("a trace", "moments", "length"))
        if (
            not isinstance(rows, Tracer)
            and not isinstance(kept, Tracer)
            and not (broken := jnp.isfinite(rows).all(-1) | ~kept).all()
        ):
            row, moment = np.argwhere(~np.asarray(broken))[0]
            raise ValueError(
                f"the trace in row {row} is not finite at moment {moment}: name the gaps, mask=np.isfinite(traces).all(-1)"
            )
        return _one_or_batch(self.encoder(rows, kept), x.ndim == 2)


def _sounds(sounds: Numbers) -> Float[jax.Array, "..."]:
    """A sound or a batch of them, f32; a `ValueError` for what cannot be one."""
    shape = arrayed("sounds", sounds).shape
    if len(shape) not in (1, 2, 3) or (len(shape) == 3 and shape[1] != 1):
        hint = " Average its channels first: sounds.mean(1, keepdims=True)." if len(shape) == 3 else ""
        raise ValueError(f"sounds of shape {shape}: expected (N,), (B, N) or (B, 1, N).{hint}")
    x = jnp.asarray(sounds)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"sounds of {x.dtype}: expected f32 in [-1, 1]; divide integers by their full scale (32768 for 16 bits)")
    return x.astype(jnp.float32)


def _clips(clips: Numbers) -> Numbers:
    """A clip or a batch of them, u8 or floats in [0, 1]; a `ValueError` for what cannot be one."""
    shape = arrayed("clips", clips).shape
    if len(shape) not in (4, 5) or shape[-1] != 3:
        hint = ""
        if len(shape) in (4, 5) and 3 in shape[-4:-2]:
            axes = {-3: (-4, -2, -1, -3), -4: (-3, -2, -1, -4)}[-3 if shape[-3] == 3 else -4]
            order = tuple(range(len(shape) - 4)) + tuple(axis + len(shape) for axis in axes)
            hint = f" Channels come last here: give clips.transpose{order}."
        raise ValueError(f"clips of shape {shape}: expected (T, H, W, 3) or (B, T, H, W, 3).{hint}")
    x = jnp.asarray(clips)
    if x.dtype == jnp.uint8:
        return x
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"clips of {x.dtype}: expected f32 in [0, 1] or u8")
    return x


def _scaled(clips: Num[jax.Array, "B T H W 3"]) -> Float[jax.Array, "B T H W 3"]:
    """u8, or floats in [0, 1] -> f32 in [-1, 1]."""
    return (clips.astype(jnp.float32) / 127.5 if clips.dtype == jnp.uint8 else clips.astype(jnp.float32) * 2.0) - 1.0


def _fitted(
    x: Numbers, mask: Mask | None, length: int | None, rank: int, words: tuple[str, str, str]
) -> tuple[Num[jax.Array, "B T ..."], Bool[jax.Array, "B T"]]:
    """Rows of exactly `length` moments (None: as many as there are) and which of them are real; `rank` is that of one row."""
    thing, moments, argument = words
    shape = x.shape[: x.ndim - rank + 1]
    kept = jnp.ones(shape, bool) if mask is None else flags(f"the mask of the {moments}", mask, shape)
    rows, kept = (x[None], kept[None]) if x.ndim == rank else (x, kept)
    count = rows.shape[1]
    most = count if length is None else length
    if count > most:
        raise ValueError(
            f"{thing} of {count} {moments}, where this encoder was built for up to {most}: "
            f"cut it, or build with {argument}={count}"
        )
    if count == 0:
        raise ValueError(f"{thing} of 0 {moments}: expected 1 or more (for a missing one, give zeros and a mask of False)")
    rest = most - count
    return jnp.pad(rows, ((0, 0), (0, rest), *((0, 0),) * (rank - 1))), jnp.pad(kept, ((0, 0), (0, rest)))


def _within(lengths, mask: Mask | None, x: Float[jax.Array, "..."]) -> Bool[jax.Array, "..."]:
    """The mask of the first `lengths` samples of each sound."""
    if mask is not None:
        raise ValueError("mask= and lengths= say the same thing: give one of them")
    counts = jnp.asarray(lengths)
    if counts.shape != x.shape[:-1]:
        raise ValueError(f"lengths of shape {counts.shape} for sounds of shape {x.shape}: expected {x.shape[:-1]}")
    if not isinstance(counts, Tracer) and counts.size and (counts.min() < 0 or counts.max() > x.shape[-1]):
        raise ValueError(f"lengths from {counts.min()} to {counts.max()} for sounds of {x.shape[-1]} samples")
    return jnp.arange(x.shape[-1]) < counts[..., None] if counts.ndim == 0 else jnp.arange(x.shape[-1])[None] < counts[:, None]


def _times(times: Numbers | None, shape: tuple[int, ...], rows: int) -> Float[jax.Array, "B T"]:
    if times is None:
        return jnp.broadcast_to(jnp.arange(shape[-1], dtype=jnp.float32) / FPS, (rows, shape[-1]))
    if arrayed("times", times).shape != shape:
        raise ValueError(f"times of shape {times.shape} for frames of shape {shape}: expected the same, in seconds")
    return jnp.asarray(times).astype(jnp.float32).reshape(rows, shape[-1])


def _one_or_batch(encoding: Encoding, one: bool) -> Encoding:
    return Encoding(*(part[0] for part in encoding)) if one else encoding
