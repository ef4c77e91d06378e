"""LoRA: low-rank adapters beside the kernels of a model that stays as it is (Hu et al. 2022)."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key

from sensorium.optim.names import check_patterns, matches

M = TypeVar("M", bound=nnx.Module)
Inputs = Float[Array | np.ndarray, "*B I"]
"""As any layer of nnx takes them."""


class Adapter(nnx.Module):
    """x -> scale · b(a(x)), scale = alpha / rank: down to `rank` channels by what `a` is, up by a product that starts at 0.

    Beside a linear layer `a` is one, beside a convolution it is one of the same reach, so that b(a(x)) is the layer with the
    kernel A·B (Hu et al. 2022, section 4.1). A is normal with a variance of 1 / inputs, so that a(x) is as large as x.
    """

    def __init__(self, layer: nnx.Linear | nnx.Conv, rank: int, alpha: float, key: Key[Array, ""]):
        self.rank, self.alpha = rank, float(alpha)
        same: dict[str, Any] = {"dtype": layer.dtype, "param_dtype": layer.param_dtype, "precision": layer.precision}
        rngs = nnx.Rngs(params=key)
        if isinstance(layer, nnx.Conv):
            reach = {name: getattr(layer, name) for name in ("strides", "padding", "input_dilation", "kernel_dilation")}
            self.a = nnx.Conv(layer.in_features, rank, layer.kernel_size, use_bias=False, **reach, **same, rngs=rngs)
        else:
            self.a = nnx.Linear(layer.in_features, rank, use_bias=False, **same, rngs=rngs)
        zeros = nnx.initializers.zeros
        self.b = nnx.Linear(rank, layer.out_features, use_bias=False, kernel_init=zeros, **same, rngs=rngs)

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    def __call__(self, x: Inputs) -> Float[Array, "*b O"]:
        return self.scale * self.b(self.a(jnp.asarray(x)))

    def delta(self) -> Float[Array, "*kernel"]:
        """What the adapter amounts to, in the shape of the kernel beside it."""
        return self.scale * jnp.matmul(self.a.kernel[...], self.b.kernel[...], precision="highest")


class AdaptedLinear(nnx.Linear):
    """A linear layer with an adapter beside it. Its own parameters keep their names."""

    lora: Adapter

    def __call__(self, inputs: Inputs, out_sharding: Any = None) -> jax.Array:
        x = jnp.asarray(inputs)
        return super().__call__(x, out_sharding=out_sharding) + self.lora(x)


class AdaptedConv(nnx.Conv):
    """A convolution with an adapter beside it. Its own parameters keep their names."""

    lora: Adapter

    def __call__(self, inputs: Inputs, out_sharding: Any = None) -> jax.Array:
        x = jnp.asarray(inputs)
        return super().__call__(x, out_sharding=out_sharding) + self.lora(x)


ADAPTED: dict[type[nnx.Module], type[nnx.Module]] = {nnx.Linear: AdaptedLinear, nnx.Conv: AdaptedConv}
PLAIN = {adapted: plain for plain, adapted in ADAPTED.items()}


def lora(model: M, rank: int = 8, alpha: float = 16, patterns: Sequence[str] = ("*",), *, key: Key[Array, ""]) -> M:
    """A copy of the model with an adapter of `rank` beside every linear and convolution kernel whose dotted name matches.

    Its outputs are those of the model until the adapters have been trained: `Trainable(only=("*.lora.*",))`. A pattern that
    matches no kernel is a `ValueError`; so are kernels that have an adapter already, and convolutions in groups. Model by
    model the same key gives the same adapters.
    """
    if rank < 1 or not alpha > 0:
        raise ValueError(f"rank={rank}, alpha={alpha}: expected a rank of 1 or more and an alpha above 0")
    model = nnx.clone(model)
    kernels = {f"{name}.kernel": layer for name, layer in layers(model).items()}
    check_patterns("patterns", patterns, sorted(kernels))
    for number, name in enumerate(sorted(kernels)):
        if matches(name, patterns):
            attach(kernels[name], rank, alpha, jax.random.fold_in(key, number))
    return model


def merge(model: M) -> M:
    """A copy of an adapted model with each adapter folded into its kernel: classes and names are those of the model before."""
    model = nnx.clone(model)
    for _, layer in list(_layers(model, tuple(PLAIN))):
        layer.kernel[...] = layer.kernel[...] + layer.lora.delta().astype(layer.kernel.dtype)
        del layer.lora
        _become(layer, PLAIN[type(layer)])
    return model


def attach(layer: Any, rank: int, alpha: float, key: Key[Array, ""]) -> None:
    """Puts an adapter beside the kernel of a linear layer or a convolution, in place."""
    adapter = Adapter(layer, rank, alpha, key)
    # The layer itself becomes the adapted one: whatever holds it (a list, a dict, two parents that share it) holds it still,
    # and its parameters keep their names, so that weights, patterns and code that reads `.kernel` go on as before.
    _become(layer, ADAPTED[type(layer)])
    layer.lora = adapter


def adapted(model: nnx.Module) -> dict[str, Adapter]:
    """The adapters of a model by the dotted name of the layer that they stand beside."""
    return {name: layer.lora for name, layer in _layers(model, tuple(PLAIN))}


def layers(model: nnx.Module) -> dict[str, nnx.Module]:
    """The layers that an adapter can be put beside, by dotted name; those that adapters are made of are none."""
    inside = {id(layer) for adapter in adapted(model).values() for layer in (adapter.a, adapter.b)}
    return {name: layer for name, layer in _layers(model, tuple(ADAPTED)) if id(layer) not in inside and _fits(layer)}


def _become(layer: nnx.Module, kind: type[nnx.Module]) -> None:
    object.__setattr__(layer, "__class__", kind)  # nnx's own would write it down as one more attribute of the graph


def _layers(model: nnx.Module, kinds: tuple[type[nnx.Module], ...]) -> Iterator[tuple[str, Any]]:
    for path, module in nnx.iter_modules(model):
        if type(module) in kinds:  # no subclasses: they may do something else with their kernels
            yield ".".join(map(str, path)), module


def _fits(layer: nnx.Linear | nnx.Conv) -> bool:
    return not isinstance(layer, nnx.Conv) or (layer.feature_group_count == 1 and layer.mask is None)
