"""What do CLIP ViT-B/16 and ViT-L/14 need at batch 32k to 1M on 8 H100 or 256 TPU chips? Memory, traffic and time by arithmetic.

    python benchmarks/scale.py            prints the tables of docs/guide/scale.md, checks the formulas, writes results/scale.json

Parameters are counted in the library's own encoders at full size (nothing is allocated). The formulas of state and activations
are held against `compiled.memory_analysis()` of a small step on this machine's CPU. Speeds of chips and links are those of
their makers, SHARE of the peak is an assumption: the tables are a plan, no measurement.
"""

import argparse
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import optax
from common.record import write
from flax import nnx

from sensorium.encoders.transformer import TokenTransformer
from sensorium.encoders.vit import ViT
from sensorium.losses import InfoNCE
from sensorium.losses.walk import Tiles
from sensorium.models.space import Space
from sensorium.training.objective import contrast

GB, SHARE, SPACE = 1e9, 0.4, 512
STATE = {"parameters": 4, "Adam's two means": 8, "gradient": 4}
"""Bytes a parameter, all float32. A moving average (ema) is 4 more."""
NEAR = {"state": 0.02, "activations": 1.6}
"""How near the formulas must be: state by its share, activations by a factor."""


@dataclass(frozen=True)
class Chip:
    """Peak bf16 FLOP/s, bytes of memory, and bytes/s one way over one link (`hop`) and of a chip in collectives (`all`)."""

    name: str
    count: int
    flops: float
    memory: float
    hop: float
    all: float


CHIPS = (
    Chip("8 × H100 (NVLink)", 8, 989e12, 80e9, 450e9, 450e9),
    Chip("256 × TPU v5e", 256, 197e12, 16e9, 45e9, 90e9),
    Chip("256 × TPU v5p", 256, 459e12, 95e9, 90e9, 180e9),
)


@dataclass(frozen=True)
class Tower:
    width: int
    depth: int
    heads: int
    tokens: int

    def flops(self, parameters: int) -> float:
        """Of one row, forward: a product and a sum for each parameter and token, and twice the table of attention."""
        return 2.0 * parameters * self.tokens + 4.0 * self.depth * self.tokens**2 * self.width

    def held(self, remat: bool, size: int = 2) -> float:
        """Bytes of activations of one row that the gradient needs; `size` bytes a number, tables of attention in float32.

        A layer keeps its input, its norms, q, k, v, what they mix to and the perceptron's inside: 15 numbers a token and width,
        and the table of attention twice. With remat it keeps its input, and one layer at a time all of it.
        """
        layer = self.tokens * 15 * self.width * size + 2 * self.heads * self.tokens**2 * 4
        ends = 4 * self.tokens * self.width * size
        return (self.depth * self.tokens * self.width * size + layer if remat else self.depth * layer) + ends


@dataclass(frozen=True)
class Model:
    name: str
    image: Tower
    text: Tower
    size: int
    patch: int
    words: int = 49_408

    def space(self, remat: bool = True, scan: bool = True) -> Space:
        """The model itself, to be traced; `nnx.eval_shape` allocates nothing."""
        rngs, i, t = nnx.Rngs(0), self.image, self.text
        return Space(
            {
                "image": ViT(self.size, self.patch, i.width, i.depth, i.heads, remat=remat, scan=scan, rngs=rngs),
                "text": TokenTransformer(
                    self.words, t.tokens, t.width, t.depth, t.heads, "eos", remat=remat, scan=scan, rngs=rngs
                ),
            },
            SPACE,
            rngs=rngs,
        )

    @cache  # noqa: B019  the models are constants
    def parameters(self) -> dict[str, int]:
        """Of each tower (what every token meets; tables of words and places do not compute) and of all."""
        shapes = nnx.to_flat_state(nnx.state(nnx.eval_shape(self.space), nnx.Param))
        sizes = {".".join(map(str, path)): math.prod(leaf.shape) for path, leaf in shapes}
        inside = {tower: sum(n for name, n in sizes.items() if f"{tower}.transformer" in name) for tower in ("image", "text")}
        return {**inside, "all": sum(sizes.values())}


MODELS = (
    Model("ViT-B/16", Tower(768, 12, 12, 196), Tower(512, 12, 8, 77), 224, 16),
    Model("ViT-L/14", Tower(1024, 24, 16, 256), Tower(768, 12, 12, 77), 224, 14),
)
SMALL = Model("small", Tower(64, 4, 2, 64), Tower(48, 4, 2, 24), 64, 8, 1000)


@dataclass(frozen=True)
class Plan:
    """A step of `batch` rows: over all chips by data, parameters in `fsdp` parts, `micro` rows of a chip encoded at a time."""

    model: Model
    chip: Chip
    batch: int
    fsdp: int
    micro: int

    @property
    def rows(self) -> int:
        return self.batch // self.chip.count

    def memory(self) -> dict[str, float]:
        """Bytes a chip. With fsdp the whole parameters are there once more in bf16 while a step needs them."""
        total = self.model.parameters()["all"]
        state = sum(STATE.values()) * total / self.fsdp + (2 * total)
        activations = self.micro * (self.model.image.held(True) + self.model.text.held(True))
        # The ring: own rows and columns, guests, gradients of these and what comes next, float32; and six blocks of logits.
        units = 8 * self.rows * SPACE * 4 + 6 * Tiles().rows * Tiles().columns * 4
        inputs = 2 * self.rows * (3 * self.model.size**2 + 5 * self.model.text.tokens)  # this batch and the next
        return {"state": state, "activations": activations, "loss": units, "inputs": inputs}

    def traffic(self) -> dict[str, float]:
        """Bytes that a chip sends a step. Parameters are gathered for the forward pass, its repetition and the backward one."""
        total, f, d = self.model.parameters()["all"], self.fsdp, self.chip.count // self.fsdp
        gathers = 3 * (f - 1) / f * total * 4 + (f - 1) / f * total * 4
        return {"fsdp": gathers, "gradient": 2 * (d - 1) / d * total / f * 4, "ring": 3 * self.batch * SPACE * 4}

    def seconds(self) -> dict[str, float]:
        counts, n = self.model.parameters(), self.chip.count
        row = self.model.image.flops(counts["image"]) + self.model.text.flops(counts["text"])
        # Forward, once more for the micro-batches, once more within each layer for remat, and twice that backward.
        compute = 5 * row * self.rows / (self.chip.flops * SHARE)
        loss = 8 * self.batch**2 * SPACE / n / (self.chip.flops * SHARE)  # a product forward, three back
        sent = self.traffic()
        links = {"ring": sent["ring"] / self.chip.hop, "reduce": (sent["fsdp"] + sent["gradient"]) / self.chip.all}
        return {"encoders": compute, "logits": loss, **links}


def plans() -> Iterator[Plan]:
    """The least fsdp and the most rows at a time that leave a fifth of the memory free."""
    for chip in CHIPS:
        for model in MODELS:
            for batch in (32_768, 131_072, 1_048_576):
                found = [
                    Plan(model, chip, batch, fsdp, micro)
                    for fsdp in (1, 2, 4, 8, 16)
                    if fsdp <= chip.count
                    for micro in (1024, 512, 256, 128, 64, 32, 16)
                    if micro <= batch // chip.count
                ]
                fits = [plan for plan in found if sum(plan.memory().values()) < 0.8 * chip.memory]
                yield max(fits, key=lambda plan: (plan.micro >= min(32, plan.rows), -plan.fsdp, plan.micro))


def row(plan: Plan) -> list[str]:
    memory, sent, took = plan.memory(), plan.traffic(), plan.seconds()
    whole = sum(took.values())
    return [
        plan.model.name,
        f"{plan.batch:,}",
        f"data=-1,fsdp={plan.fsdp}" if plan.fsdp > 1 else "data=-1",
        f"{plan.micro * plan.chip.count:,}",
        *(f"{memory[name] / GB:.2f}" for name in ("state", "activations", "loss", "inputs")),
        f"{sum(memory.values()) / GB:.1f}",
        f"{sent['ring'] / GB:.2f}",
        f"{(sent['fsdp'] + sent['gradient']) / GB:.2f}",
        f"{whole:.2f}",
        *(f"{took[name] / whole:.1%}" for name in ("logits", "ring", "reduce")),
        f"{plan.batch / whole:,.0f}",
    ]


HEAD = (
    *("model", "batch", "--mesh", "--micro-batch", "state", "activations", "loss", "inputs", "GB a chip", "ring GB"),
    *("reduce GB", "s a step", "logits", "ring", "reduce", "rows/s"),
)


def tables() -> dict[str, list[list[str]]]:
    made: dict[str, list[list[str]]] = {}
    for plan in plans():
        made.setdefault(plan.chip.name, []).append(row(plan))
    return made


CUT = ("model", "--mesh", "state GB", "gathered GB", "reduced GB", "of a step of 131,072")


def cuts() -> dict[str, list[list[str]]]:
    """What cutting the parameters saves and costs."""
    made: dict[str, list[list[str]]] = {}
    for chip in CHIPS:
        for model in MODELS:
            for fsdp in (1, 4, 8):
                plan = Plan(model, chip, 131_072, fsdp, 32)
                sent, took = plan.traffic(), plan.seconds()
                figures = [f"{x / GB:.2f}" for x in (plan.memory()["state"], sent["fsdp"], sent["gradient"])]
                share = f"{took['reduce'] / sum(took.values()):.1%}"
                made.setdefault(chip.name, []).append([model.name, f"data=-1,fsdp={fsdp}", *figures, share])
    return made


def show(made: dict[str, list[list[str]]], head: tuple[str, ...]) -> None:
    for name, rows in made.items():
        print(f"\n**{name}**\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for each in rows:
            print(f"| {' | '.join(each)} |")


def planned(model: Model, batch: int, micro: int | None, remat: bool) -> Any:
    """XLA's plan of memory for a plain step with AdamW, compiled for this machine; nothing is run."""
    graph, state = nnx.split(nnx.eval_shape(lambda: model.space(remat, scan=True)))
    optimizer, objective = optax.adamw(1e-3), contrast({"pair": (1.0, InfoNCE("image", "text"))}, micro)

    def update(state: Any, memory: Any, batch: dict[str, jax.Array]):
        def loss(state: Any):
            return objective(nnx.merge(graph, state), batch, jax.random.key(0), jnp.zeros((), jnp.int32))[0]

        gradients = jax.grad(loss)(state)
        updates, memory = optimizer.update(gradients, memory, state)
        return optax.apply_updates(state, updates), memory

    shapes = {
        "image": jax.ShapeDtypeStruct((batch, model.size, model.size, 3), jnp.uint8),
        "text": jax.ShapeDtypeStruct((batch, model.text.tokens), jnp.int32),
        "text/mask": jax.ShapeDtypeStruct((batch, model.text.tokens), jnp.bool_),
    }
    memory = jax.eval_shape(optimizer.init, state)
    return jax.jit(update, donate_argnums=(0, 1)).lower(state, memory, shapes).compile().memory_analysis()


def check() -> dict[str, dict[str, float]]:
    """What the formulas say of the small model, and what XLA plans for it."""
    total = SMALL.parameters()["all"]
    found: dict[str, dict[str, float]] = {}
    for remat in (False, True):
        small, large = (planned(SMALL, rows, None, remat) for rows in (32, 96))
        slope = (large.temp_size_in_bytes - small.temp_size_in_bytes) / 64
        said = SMALL.image.held(remat, 4) + SMALL.text.held(remat, 4)
        found[f"activations a row, remat={remat}"] = {"formula": said, "compiled": slope}
    inputs = 32 * (SMALL.size**2 * 3 + SMALL.text.tokens * 5)
    state = (STATE["parameters"] + STATE["Adam's two means"]) * total
    found["state"] = {"formula": state, "compiled": small.argument_size_in_bytes - inputs}
    parts = planned(SMALL, 96, 32, True).temp_size_in_bytes
    found["temporary, 96 rows as 3 × 32 over 32 rows"] = {"formula": 1.0, "compiled": parts / small.temp_size_in_bytes}
    return {name: {**pair, "ratio": pair["compiled"] / pair["formula"]} for name, pair in found.items()}


def compile_seconds() -> dict[str, float]:
    """Of a step of 24 layers a tower, layers written out and scanned."""
    deep = replace(SMALL, image=replace(SMALL.image, depth=24), text=replace(SMALL.text, depth=24))
    return {name: _compile_seconds(deep, scan) for name, scan in (("written out", False), ("scan", True))}


def _compile_seconds(model: Model, scan: bool) -> float:
    graph, state = nnx.split(nnx.eval_shape(lambda: model.space(False, scan)))
    objective = contrast({"pair": (1.0, InfoNCE("image", "text"))})
    shapes = {
        "image": jax.ShapeDtypeStruct((8, model.size, model.size, 3), jnp.uint8),
        "text": jax.ShapeDtypeStruct((8, model.text.tokens), jnp.int32),
    }

    def loss(state: Any, batch: dict[str, jax.Array]) -> jax.Array:
        return objective(nnx.merge(graph, state), batch, jax.random.key(0), jnp.zeros((), jnp.int32))[0]

    start = time.process_time()
    jax.jit(jax.grad(loss)).lower(state, shapes).compile()
    return round(time.process_time() - start, 2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", action="store_true", help="print the tables only: check nothing, write nothing")
    only = parser.parse_args().tables
    made, cut = tables(), cuts()
    show(made, HEAD)
    show(cut, CUT)
    if only:
        return 0
    checked, compiled = check(), compile_seconds()
    for name, pair in checked.items():
        print(f"{name}: formula {pair['formula']:,.0f}, compiled {pair['compiled']:,.0f}, ratio {pair['ratio']:.3f}")
    print(f"processor seconds to trace and compile 24 + 24 layers and their gradient: {compiled}")
    counts = {model.name: model.parameters() for model in MODELS}
    result = {"question": __doc__.splitlines()[0], "parameters": counts, "share of peak": SHARE, "checks": checked}  # type: ignore[union-attr]
    write("scale", {**result, "compile": compiled, "columns": HEAD, "tables": made, "cut columns": CUT, "cuts": cut})
    good = abs(checked["state"]["ratio"] - 1) < NEAR["state"]
    near = [pair["ratio"] for name, pair in checked.items() if name.startswith("activations")]
    return 0 if good and all(1 / NEAR["activations"] < ratio < NEAR["activations"] for ratio in near) else 1


if __name__ == "__main__":
    sys.exit(main())
