"""Adapters: nothing at the start, all that trains, folded in without a trace, saved alone."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file
from training.tiny import card, experiment

from sensorium.core.errors import BadFile
from sensorium.optim.lora import AdaptedLinear, Adapter, adapted, lora, merge
from sensorium.optim.lora_files import load_adapters, save_adapters
from sensorium.optim.names import parameters
from sensorium.optim.trainable import Trainable
from sensorium.training import Step, contrast
from sensorium.training.weights import arrays


class Net(nnx.Module):
    """A convolution with strides, a linear layer twice, one in a list, one convolution in groups and a table."""

    def __init__(self, rngs: nnx.Rngs):
        self.conv = nnx.Conv(3, 4, (3, 2), strides=(2, 1), padding="SAME", kernel_dilation=(1, 2), rngs=rngs)
        self.grouped = nnx.Conv(4, 4, (1, 1), feature_group_count=2, rngs=rngs)
        self.first = nnx.Linear(4, 4, rngs=rngs)
        self.again = self.first
        self.rest = nnx.List([nnx.Linear(4, 2, use_bias=False, rngs=rngs)])
        self.table = nnx.Param(jnp.ones((3, 2)))

    def __call__(self, x):
        x = jnp.mean(jax.nn.gelu(self.grouped(self.conv(x))), axis=(1, 2))
        return self.rest[0](jax.nn.gelu(self.again(jax.nn.gelu(self.first(x)))))


KEY = jax.random.key(3)


@pytest.fixture
def net() -> Net:
    return Net(nnx.Rngs(0))


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, 6, 5, 3)).astype(np.float32)


def moved(model: nnx.Module) -> nnx.Module:
    """As if trained: no adapter is nothing any more."""
    for number, adapter in enumerate(adapted(model).values()):
        adapter.b.kernel[...] = 0.3 * jax.random.normal(jax.random.key(number), adapter.b.kernel.shape)
    return model


def test_it_starts_as_the_model_bit_for_bit_and_leaves_that_one_whole(net, pictures):
    before, names = np.asarray(net(pictures)), set(arrays(net))
    made = lora(net, rank=2, alpha=8, key=KEY)
    np.testing.assert_array_equal(made(pictures), before)
    assert set(adapted(made)) in ({"conv", "first", "rest.0"}, {"conv", "again", "rest.0"}), "a shared layer has one adapter"
    assert set(arrays(net)) == names and not adapted(net)
    assert names < set(arrays(made)), "the model's parameters keep their names"
    assert all(np.abs(adapter.a.kernel[...]).min() > 0 for adapter in adapted(made).values())


def test_an_adapter_is_a_kernel_of_low_rank(net, pictures):
    """By hand: (alpha / rank) · A · B added to the kernel of the original."""
    made = moved(lora(net, rank=2, alpha=3, patterns=("conv.*",), key=KEY))
    adapter = adapted(made)["conv"]
    change = 1.5 * np.einsum("hwir,ro->hwio", np.asarray(adapter.a.kernel[...]), np.asarray(adapter.b.kernel[...]))
    assert np.linalg.matrix_rank(change.reshape(-1, 4)) == 2
    before = np.asarray(net(pictures))
    net.conv.kernel[...] = net.conv.kernel[...] + change
    np.testing.assert_allclose(made(pictures), net(pictures), atol=1e-6)
    assert np.abs(before - net(pictures)).max() > 0.05


def test_merged_it_gives_the_same_and_is_a_model_as_before(net, pictures):
    made = moved(lora(net, rank=2, alpha=3, key=KEY))
    merged = merge(made)
    np.testing.assert_allclose(merged(pictures), made(pictures), atol=1e-6)
    assert np.abs(merged(pictures) - net(pictures)).max() > 0.1
    assert nnx.graphdef(merged) == nnx.graphdef(net), "the same classes, names and shared layers"
    assert len(adapted(made)) == 3, "the adapted model stays as it was"


def test_patterns_say_where_and_a_key_gives_the_same_adapters(net):
    made = lora(net, rank=1, patterns=("rest.*", "conv.kernel"), key=KEY)
    assert set(adapted(made)) == {"rest.0", "conv"} and isinstance(made.rest[0], AdaptedLinear)
    same, other = lora(net, rank=1, key=KEY), lora(net, rank=1, key=jax.random.key(4))
    np.testing.assert_array_equal(adapted(same)["conv"].a.kernel[...], adapted(made)["conv"].a.kernel[...])
    assert (adapted(other)["conv"].a.kernel[...] != adapted(made)["conv"].a.kernel[...]).all()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"patterns": ("*qkv*",)}, r"patterns=\['\*qkv\*'\]: no parameter"),
        ({"patterns": ("grouped.*",)}, "no parameter"),
        ({"patterns": ("table",)}, "no parameter"),
        ({"rank": 0}, "rank=0"),
        ({"alpha": 0}, "alpha=0"),
    ],
    ids=["nothing", "groups", "table", "rank", "alpha"],
)
def test_what_cannot_be_adapted_is_told(net, given, text):
    with pytest.raises(ValueError, match=text):
        lora(net, **given, key=KEY)


def test_no_adapter_is_put_beside_another(net):
    with pytest.raises(ValueError, match=r"patterns=\['conv.\*'\]"):
        lora(lora(net, patterns=("conv.*",), key=KEY), patterns=("conv.*",), key=KEY)


def test_of_a_space_only_the_adapters_and_what_is_named_train():
    made = experiment()
    plain = card().build(0)
    model = lora(plain, rank=2, patterns=("encoders.*",), key=KEY)
    batch = jax.device_put(made.source.read(np.arange(8), draw=0))
    jax.tree.map(np.testing.assert_array_equal, *nnx.jit(lambda one, other: (one(batch), other(batch)))(plain, model))
    trainable = Trainable(only=("*.lora.*", "projections.text.*"))
    before = arrays(model)
    step = Step(model, contrast(made.losses), optax.sgd(0.5), frozen=trainable.frozen(list(parameters(model))))
    for _ in range(2):  # A has no gradient while B is 0
        step(batch)
    after = arrays(step.model())
    changed = {name for name in after if (after[name] != before[name]).any()}
    assert changed == {name for name in after if ".lora." in name or name.startswith("projections.text.")}
    assert set(arrays(merge(step.model()))) == set(arrays(plain))


def test_adapters_alone_are_saved_and_read_again(net, pictures, tmp_path):
    made = moved(lora(lora(net, rank=2, alpha=8, key=KEY, patterns=("conv.*",)), rank=1, patterns=("rest.*",), key=KEY))
    save_adapters(made, tmp_path)
    np.testing.assert_array_equal(load_adapters(net, tmp_path)(pictures), made(pictures))
    assert {name: x.shape for name, x in load_file(tmp_path / "adapter_model.safetensors").items()} == {
        "base_model.model.conv.lora_A.weight": (2, 3, 3, 2),
        "base_model.model.conv.lora_B.weight": (4, 2, 1, 1),
        "base_model.model.rest.0.lora_A.weight": (1, 4),
        "base_model.model.rest.0.lora_B.weight": (2, 1),
    }
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["peft_type"], config["target_modules"]) == ("LORA", ["conv", "rest.0"])
    with pytest.raises(ValueError, match="has no adapters"):
        save_adapters(net, tmp_path)


def test_files_of_adapters_that_do_not_fit_are_told(net, tmp_path):
    save_adapters(lora(net, rank=2, patterns=("rest.*",), key=KEY), tmp_path)
    weights, config = tmp_path / "adapter_model.safetensors", tmp_path / "adapter_config.json"
    with pytest.raises(BadFile, match=r"have one already: rest\.0"):
        load_adapters(lora(net, patterns=("rest.*",), key=KEY), tmp_path)
    tensors = load_file(weights)
    save_file({"strange": np.zeros(1, np.float32), **dict(list(tensors.items())[1:])}, weights)
    with pytest.raises(BadFile, match=r"missing base_model.*unknown strange"):
        load_adapters(net, tmp_path)
    save_file({name: x[:, :1] for name, x in tensors.items()}, weights)
    with pytest.raises(BadFile, match=r"lora_A.weight: float32\[2, 1\], expected float32\[2, 4\]"):
        load_adapters(net, tmp_path)
    config.write_text('{"peft_type": "LORA", "r": 2}')
    with pytest.raises(BadFile, match="lacks lora_alpha, target_modules"):
        load_adapters(net, tmp_path)


def test_an_adapter_computes_as_its_layer_does():
    layer = nnx.Linear(4, 4, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    adapter = Adapter(layer, 2, 4, KEY)
    assert adapter(jnp.ones((1, 4))).dtype == jnp.bfloat16 and adapter.a.kernel.dtype == jnp.float32
