"""Fusion in steps: a tree says which fields meet first."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from sensorium.core.encoding import Encoding
from sensorium.fusions.attention import JointAttention
from sensorium.fusions.fusion import TINY_TOKENS, Encodings, present, tiny_encodings
from sensorium.fusions.layer import step_key

Tree = str | tuple[Any, ...]
"""A field, or a tuple of two or more trees: `(("image", "text"), "audio")`."""


class Hierarchical(nnx.Module):
    """A `JointAttention` at every node of a tree of fields, each with parameters of its own; what it makes goes up.

    Without a tree the fields join one by one, in their order. A node hears the tokens of all that is below it and the
    summaries of its children; a part of the tree whose fields are all absent is absent.
    """

    ordered: ClassVar[bool] = False

    def __init__(
        self,
        widths: Mapping[str, int],
        width: int,
        heads: int = 4,
        tree: Tree | None = None,
        dropout: float = 0.0,
        *,
        rngs: nnx.Rngs,
    ):
        self.fields, self.pooled_width = tuple(widths), width
        self.tree = _checked(_chain(self.fields) if tree is None else tree, self.fields)
        self.nodes = nnx.Dict({})
        for node in _nodes(self.tree):
            inputs = {_name(child): widths[child] if isinstance(child, str) else width for child in node}
            self.nodes[_name(node)] = JointAttention(inputs, width, heads, dropout=dropout, rngs=rngs)

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> "tuple[Hierarchical, dict[str, Encoding]]":
        return cls(TINY_TOKENS, 8, heads=2, dropout=0.5, rngs=rngs), tiny_encodings(rngs.data())

    def __call__(self, encodings: Encodings, key: jax.Array | None = None) -> Encoding:
        return self.with_weights(encodings, key)[0]

    def with_weights(
        self, encodings: Encodings, key: jax.Array | None = None
    ) -> tuple[Encoding, dict[str, Float[jax.Array, "B heads M"]]]:
        """The encoding, and for each node that heard anything how much each head took of each of its children."""
        done: dict[str, Encoding | None] = dict(present(self.fields, encodings))
        weights = {}
        for node in _nodes(self.tree):
            children = {_name(child): _upward(child, done.get(_name(child))) for child in node}
            if any(x is not None for x in children.values()):
                name = _name(node)
                done[name], weights[name] = self.nodes[name].with_weights(children, step_key(key, name))
        whole = done[_name(self.tree)]
        assert whole is not None  # `present` has seen one field at least, and every field is below the root
        return whole, weights


def _upward(tree: Tree, x: Encoding | None) -> Encoding | None:
    """What a parent hears of a child: its tokens, and before them the summary that a node has made."""
    if x is None or isinstance(tree, str):
        return x
    mask = jnp.concatenate([x.mask.any(axis=1, keepdims=True), x.mask], axis=1)
    return Encoding(jnp.concatenate([x.pooled[:, None], x.tokens], axis=1), mask, x.pooled)


def _chain(fields: Sequence[str]) -> Tree:
    """One field after the other: ((a, b), c)."""
    if len(fields) < 2:
        raise ValueError(f"{len(fields)} fields: a hierarchy needs two at least")
    tree: Tree = fields[0]
    for name in fields[1:]:
        tree = (tree, name)
    return tree


def _checked(tree: Tree, fields: tuple[str, ...]) -> tuple[Any, ...]:
    """The tree, if it is one: every field in it once, and no node of a single child."""
    if isinstance(tree, str) or any(len(node) < 2 for node in _nodes(tree)):
        raise ValueError(f"the tree {tree!r} has a node with fewer than two children")
    leaves = [child for node in _nodes(tree) for child in node if isinstance(child, str)]
    if sorted(leaves) != sorted(fields):
        raise ValueError(
            f"the tree {tree!r} has the fields {sorted(leaves)}, where each of {sorted(fields)} has to be in it once"
        )
    return tree


def _nodes(tree: Tree) -> list[tuple[Any, ...]]:
    """The inner nodes, children before parents."""
    if isinstance(tree, str):
        return []
    return [node for child in tree for node in _nodes(child)] + [tree]


def _name(tree: Tree) -> str:
    """How a node is called: `(image+text)`; a field by its name."""
    return tree if isinstance(tree, str) else f"({'+'.join(map(_name, tree))})"
