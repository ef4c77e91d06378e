"""The U-Net: the numbers of diffusers' for the same parameters, grids of every kind, and what its parts promise."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from decoders.make_unet import CONFIGS, FILE, drawn, given
from flax import nnx

from sensorium.core.encoding import Encoding
from sensorium.decoders.dit import Heard
from sensorium.decoders.unet import UNet
from sensorium.decoders.unet_parts import Glance, GroupNorm, doubled

NAMES = {
    "time_embedding.linear_1": "time_first",
    "time_embedding.linear_2": "time_second",
    "class_embedding": "gist",
    "conv_in": "enter",
    "conv_norm_out": "norm",
    "conv_out": "leave",
    "down_blocks.*.resnets": "down.*.blocks",
    "down_blocks.*.attentions": "down.*.looks",
    "down_blocks.*.downsamplers.0.conv": "down.*.resize",
    "up_blocks.*.resnets": "up.*.blocks",
    "up_blocks.*.attentions": "up.*.looks",
    "up_blocks.*.upsamplers.0.conv": "up.*.resize",
    "mid_block.resnets": "middle.blocks",
    "mid_block.attentions": "middle.looks",
}
PARTS = {
    "norm1": "norm_first", "conv1": "first", "time_emb_proj": "modulate", "norm2": "norm_second", "conv2": "second",
    "conv_shortcut": "along", "proj_in": "enter", "proj_out": "leave", "norm": "norm",
    "transformer_blocks.0.norm1": "norm_own", "transformer_blocks.0.norm2": "norm_other", "transformer_blocks.0.norm3": "norm_up",
    "transformer_blocks.0.ff.net.0.proj": "up", "transformer_blocks.0.ff.net.2": "down",
    **{
        f"transformer_blocks.0.attn{i}.{a}": f"{ours}.{b}"
        for i, ours in ((1, "own"), (2, "other"))
        for a, b in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "out"))
    },
}  # fmt: skip


def place(name: str) -> tuple[str, ...]:
    """Where a parameter of diffusers' network stands in ours; its last word is weight or bias."""
    words = name.split(".")
    numbers = iter([word for word in words[:-1] if word.isdigit()])
    for theirs, ours in NAMES.items():
        start = theirs.split(".")
        if len(words) > len(start) and all(a in (b, "*") for a, b in zip(start, words, strict=False)):
            found = [next(numbers) if word == "*" else word for word in ours.split(".")]
            if rest := words[len(start) : -1]:
                found += [rest[0], *PARTS[".".join(rest[1:])].split(".")]
            return tuple(found)
    raise KeyError(name)


def built(fill, *arguments, **more):
    """A network, split, whose parameters are `fill(path, shape)`: nothing is compiled to begin with random ones."""
    graph, state = nnx.split(nnx.eval_shape(lambda: UNet(*arguments, **more, rngs=nnx.Rngs(0))))
    flat = nnx.to_flat_state(state)
    return graph, nnx.from_flat_state([(path, leaf.replace(jnp.asarray(fill(path, leaf.shape)))) for path, leaf in flat])


def published(names):
    """What `drawn` gives for the names and shapes of diffusers' parameters, in the places of ours; and those not yet taken."""
    left = {}
    for name, shape in names.items():
        value = drawn(name, tuple(shape))
        value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T
        left[(*place(name), "weight" if name.endswith("weight") else "bias")] = value

    def fill(path, shape):
        last = "bias" if path[-1] == "bias" else "weight"
        return left.pop((*map(str, path[:-1]), last)).reshape(shape)

    return fill, left


def by_path(path, shape):
    return drawn(".".join(map(str, path)), tuple(shape)[::-1]).T


@partial(jax.jit, static_argnums=0)
def called(graph, state, x, t, about):
    network = nnx.merge(graph, state)
    return network(x, t, network.hear(about))


@pytest.mark.parametrize("name", list(CONFIGS))
def test_it_computes_what_that_of_diffusers_does(name):
    recorded, config, got = np.load(FILE), CONFIGS[name], given()
    heads, looks = config["attention_head_dim"], ["Cross" in kind for kind in config["down_block_types"]]
    fill, left = published(json.loads(recorded[f"{name}/names"].tobytes()))
    model = built(
        fill, (6, 6), 3, 9, 7, config["block_out_channels"], config["layers_per_block"],
        [many * look for many, look in zip(heads, looks, strict=True)], heads[-1], 4,
        scaled="resnet_time_scale_shift" in config, reads=False,
    )  # fmt: skip
    assert not left, sorted(left)
    about = Encoding(*(jnp.asarray(got[key]) for key in ("tokens", "mask", "vector")))
    out = called(*model, jnp.asarray(got["x"].transpose(0, 2, 3, 1)), jnp.asarray(got["t"] / 1000), about)
    wanted = recorded[f"{name}/out"].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(out, wanted, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(("shape", "looks"), [((10,), False), ((5, 4, 3), True)])
def test_grids_of_one_and_three_axes_with_odd_sides_and_rows_that_never_mix(shape, looks):
    split = built(by_path, shape, 2, 5, 6, (8, 12), 1, (0, 3), groups=4, looks=looks)
    key = jax.random.key(0)
    x = jax.random.normal(key, (3, *shape, 2))
    about = Encoding(jnp.ones((3, 4, 6)), jnp.asarray([[True] * 4, [False] * 4, [True] * 4]), jax.random.normal(key, (3, 5)))
    t = jnp.asarray([0.1, 0.5, 1.0])
    out = np.asarray(called(*split, x, t, about))
    assert out.shape == x.shape and np.all(np.isfinite(out))
    # Row 1 is told of no token: what stands there does not matter to it, and another row's pooled vector only to that row.
    other = Encoding(about.tokens.at[1].set(9.0), about.mask, about.pooled.at[2].set(0.0))
    again = np.asarray(called(*split, x, t, other))
    np.testing.assert_allclose(again[:2], out[:2], atol=1e-5)
    assert np.abs(again[2] - out[2]).max() > 1e-3


def test_at_the_start_it_says_nothing_and_its_sketch_is_blank():
    @jax.jit
    def begun():
        sketch = {"patch": (2, 2), "width": 4, "depth": 1}
        network = UNet((4, 4), 1, 5, 1, (4,), 1, (0,), groups=4, sketch=sketch, rngs=nnx.Rngs(0))
        heard = network.hear(Encoding(jnp.zeros((2, 1, 1)), jnp.ones((2, 1), bool), jnp.ones((2, 5))))
        return network(jnp.ones((2, 4, 4, 1)), jnp.full(2, 0.5), heard), heard

    out, heard = begun()
    np.testing.assert_array_equal(out, np.zeros((2, 4, 4, 1)))
    np.testing.assert_array_equal(heard.sketch, out)
    assert heard.places.shape == (2, 16, 4) and np.ptp(heard.places, axis=1).min() > 0  # each cell has a part of its own


def test_group_norm_and_doubling_by_hand():
    x = jnp.asarray([[[1.0, 3.0, 0.0, 8.0], [5.0, 7.0, 0.0, 8.0]]])
    norm = GroupNorm(4, 2, eps=0.0)
    norm.bias[...] = jnp.asarray([0.0, 0.0, 10.0, 10.0])
    s = np.sqrt(5.0)
    np.testing.assert_allclose(norm(x), [[[-3 / s, -1 / s, 9, 11], [1 / s, 3 / s, 9, 11]]], rtol=1e-6)
    np.testing.assert_array_equal(doubled(jnp.asarray([[[1.0], [2.0]]]), (3,))[0, :, 0], [1, 1, 2])
    about = Encoding(jnp.ones((1, 2, 3)), jnp.zeros((1, 2), bool), jnp.ones((1, 1)))
    glance = Glance(4, 2, 3, rngs=nnx.Rngs(0))
    glance.out.bias[...] = jnp.arange(4.0)  # pyright: ignore[reportOptionalSubscript]
    np.testing.assert_allclose(glance(x, about), np.broadcast_to(np.arange(4.0), (1, 2, 4)))


def test_what_cannot_be_built_or_read_is_an_error():
    def build(shape, **more):
        settings = {"widths": (4,), "heads": (1,), "groups": 2} | more
        return nnx.eval_shape(lambda: UNet(shape, 1, 2, 1, **settings, rngs=nnx.Rngs(0)))

    with pytest.raises(ValueError, match="one, two or three sides"):
        build((2, 2, 2, 2))
    with pytest.raises(ValueError, match="as many in both"):
        build((2, 2), heads=(1, 1))
    with pytest.raises(ValueError, match="the first one to be even"):
        build((2, 2), widths=(3,))
    with pytest.raises(ValueError, match="width 4 cannot be split into 3 groups"):
        build((2, 2), groups=3)
    with pytest.raises(ValueError, match=r"grids of \(3, 2, 1\), where this network was built for \(2, 2, 1\)"):
        about = Encoding(jnp.zeros((1, 1, 1)), jnp.ones((1, 1), bool), jnp.ones((1, 2)))
        build((2, 2))(jnp.zeros((1, 3, 2, 1)), jnp.zeros(1), Heard(about, jnp.zeros((1, 16)), jnp.zeros((1, 1, 4)), None))
