"""How fast are pictures drawn and words written, beside PyTorch? A U-Net of the size of a diffusers one draws 64 pictures in 20
steps with guidance, all in one compiled batch; a decoder of the size of a transformers one writes texts with its cache. Ours is
compiled before the clock starts, and theirs has taken a step.

Needs a Python that has torch, diffusers and transformers for the peers:
    python -m venv peers && peers/bin/pip install torch diffusers transformers
    python benchmarks/generate.py --peers peers/bin/python [--tiny]
Both sides have random weights, as many of them, and all cores; the sides take turns in processes of their own. Writes
results/generate.json, but for `--tiny`, which only shows that everything runs. Exits with 1 where the sizes differ, and
where a goal is missed (not with `--tiny`).
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from common.record import HERE, write

PEER = HERE / "common" / "peer_generate.py"
PICTURES: dict[str, Any] = {
    "rows": 64, "steps": 20, "guidance": 3.0, "side": 32, "widths": [64, 128, 256], "layers": 2, "heads": [0, 4, 8],
    "groups": 32, "vector": 256, "tokens": 256, "length": 24,
}  # fmt: skip
WORDS: dict[str, Any] = {
    "rows": 32, "words": 48, "vocabulary": 4096, "width": 256, "depth": 4, "heads": 4, "hidden": 1024, "context": 64,
}  # fmt: skip
TINY = {
    "pictures": PICTURES
    | {"rows": 2, "steps": 2, "side": 8, "widths": [8, 16, 16], "heads": [0, 2, 2], "groups": 4, "tokens": 16},
    "words": WORDS | {"rows": 2, "words": 4, "vocabulary": 64, "width": 16, "hidden": 32, "depth": 2, "context": 5},
}
ROUNDS, CALLS = 2, 3
GOALS = {"pictures: of PyTorch's speed": 1.0, "words: of PyTorch's speed": 1.0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="a Python with torch, diffusers and transformers")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, and nothing is written")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        verb, size = given.part
        print(json.dumps({"pictures": pictures, "words": words}[verb](json.loads(size))))
        return 0
    if not given.peers:
        parser.error("--peers is needed: the figures are side by side")
    sizes = TINY if given.tiny else {"pictures": PICTURES, "words": WORDS}
    sides = {verb: measured(given.peers, verb, size) for verb, size in sizes.items()}
    found = {
        f"{verb}: of PyTorch's speed": side["PyTorch"]["seconds"] / side["sensorium"]["seconds"] for verb, side in sides.items()
    }
    rates = {
        f"{verb} a second, {name}": amount(sizes[verb]) / one["seconds"]
        for verb, side in sides.items()
        for name, one in side.items()
    }
    if not given.tiny:
        question = (
            "64 pictures of 32×32 in 20 guided steps, and texts of 48 words: things a second, beside diffusers and transformers"
        )
        write("generate", {"question": question, "sizes": sizes, "sides": sides, "found": found | rates, "goals": GOALS})
    for key, value in (found | rates).items():
        print(f"{key}: {value:.2f}")
    wrong = {verb: [one["parameters"] for one in side.values()] for verb, side in sides.items()}
    print(f"parameters: {wrong}")
    missed = [] if given.tiny else [f"{goal} {found[goal]:.2f}" for goal, least in GOALS.items() if found[goal] < least]
    print(f"missed: {missed}")
    return int(bool(missed) or any(len(set(both)) > 1 for both in wrong.values()))


def amount(size: dict[str, Any]) -> int:
    """Pictures, or words."""
    return size["rows"] * size.get("words", 1)


def measured(peers: str, verb: str, size: dict[str, Any]) -> dict[str, Any]:
    """The best of some fresh processes of each side, one of each in turn; `load average` before each."""
    lines = {
        "sensorium": [sys.executable, __file__, "--part", verb, json.dumps(size)],
        "PyTorch": [peers, str(PEER), verb, json.dumps(size)],
    }
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in lines}
    for _ in range(ROUNDS):
        for side, line in lines.items():
            load = os.getloadavg()[0]
            done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
            runs[side].append(json.loads(done.stdout.strip().splitlines()[-1]) | {"load average": load})
    return {side: min(rounds, key=lambda one: one["seconds"]) for side, rounds in runs.items()}


def pictures(size: dict[str, Any]) -> dict[str, Any]:
    """Ours: noise to pictures in one program."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from sensorium.core.encoding import Encoding
    from sensorium.decoders import UNet
    from sensorium.diffusion import KINDS, Betas, draw_noise, grid, guided, in_parts, sample

    shape = (size["side"], size["side"])
    arguments = {key: size[key] for key in ("vector", "tokens", "widths", "layers", "heads", "groups")}
    graph, state = nnx.split(UNet(shape, 3, **arguments, scaled=False, reads=False, rngs=nnx.Rngs(0)))
    schedule, kind, rows = Betas(), KINDS["eps"], size["rows"]

    @jax.jit
    def drawn(state: Any, keys: jax.Array, about: Encoding, nothing: Encoding) -> jax.Array:
        network = nnx.merge(graph, state)

        def denoise(x: jax.Array, t: jax.Array, heard: Any) -> jax.Array:
            return kind.to_x0(schedule, network(x, t, heard), x, t)

        def some(part: jax.Array, parts: int, rows: tuple[jax.Array, Encoding, Encoding]) -> jax.Array:
            keys, about, nothing = rows
            asked = guided(denoise, network.hear(about), network.hear(nothing), size["guidance"])
            return sample(asked, draw_noise(keys, (*shape, 3)), grid(size["steps"]), schedule, "ddim", place=(part, parts))

        return in_parts(some, (keys, about, nothing))

    keys = jax.random.split(jax.random.key(0), rows)
    draw = jax.random.normal(keys[0], (2, rows, size["length"], size["tokens"]))
    vectors, there = jax.random.normal(keys[1], (2, rows, size["vector"])), jnp.ones((rows, size["length"]), bool)
    about, nothing = (Encoding(draw[i], there, vectors[i]) for i in range(2))
    compiled = drawn.lower(state, keys, about, nothing).compile()
    return {"parameters": count(state), "seconds": seconds(lambda: jax.block_until_ready(compiled(state, keys, about, nothing)))}


def words(size: dict[str, Any]) -> dict[str, Any]:
    """Ours: the likeliest words one after another in one program, none of which is the end."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from sensorium.core.encoding import Encoding
    from sensorium.decoders import Ends, Prompted, PublishedDecoder, Sampling
    from sensorium.decoders import write as written

    layers = {key: size[key] for key in ("width", "heads", "hidden", "depth")}
    graph, state = nnx.split(PublishedDecoder(size["vocabulary"], size["words"] + 1, layers, "blip", rngs=nnx.Rngs(0)))
    rows, never = size["rows"], Ends(-1, -1)

    @jax.jit
    def texts(state: Any, context: jax.Array) -> jax.Array:
        about = Encoding(context, jnp.ones(context.shape[:2], bool), context[:, 0])
        prompt = jnp.ones((rows, 1), jnp.int32)
        return written(nnx.merge(graph, state), Prompted(about, prompt), never, Sampling(0.0), None, size["words"])[0]

    context = jax.random.normal(jax.random.key(0), (rows, size["context"], size["width"]))
    compiled = texts.lower(state, context).compile()
    least = min(seconds(lambda: jax.block_until_ready(compiled(state, context))) for _ in range(CALLS))
    return {"parameters": count(state), "seconds": least}


def count(state: Any) -> int:
    import jax

    return sum(leaf.size for leaf in jax.tree.leaves(state))


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
