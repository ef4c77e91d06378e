"""The peer of benchmarks/generate.py, run by a Python that has torch, diffusers and transformers: random weights, no files.

python peer_generate.py pictures JSON    prints {"parameters": …, "seconds": …, "layout": the quicker one of two}
python peer_generate.py words JSON       prints {"parameters": …, "seconds": …}
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch  # pyright: ignore[reportMissingImports]

CALLS = 3


def pictures(size: dict[str, Any]) -> dict[str, Any]:
    """A batch of pictures by DDIM with classifier-free guidance, as diffusers' pipelines do it: one batch of twice the rows."""
    from diffusers import DDIMScheduler, UNet2DConditionModel  # pyright: ignore[reportMissingImports]

    kinds = ["CrossAttn" if heads else "" for heads in size["heads"]]
    model = UNet2DConditionModel(
        sample_size=size["side"],
        in_channels=3,
        out_channels=3,
        block_out_channels=size["widths"],
        layers_per_block=size["layers"],
        down_block_types=[f"{kind}DownBlock2D" for kind in kinds],
        up_block_types=[f"{kind}UpBlock2D" for kind in reversed(kinds)],
        attention_head_dim=[heads or 1 for heads in size["heads"]],  # it is the number of heads
        cross_attention_dim=size["tokens"],
        norm_num_groups=size["groups"],
        class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=size["vector"],
    ).eval()
    rows, steps = size["rows"], size["steps"]
    noise = torch.randn(rows, 3, size["side"], size["side"])
    tokens, vector = torch.randn(2 * rows, size["length"], size["tokens"]), torch.randn(2 * rows, size["vector"])
    scheduler = DDIMScheduler()

    def drawn(layout: torch.memory_format, steps: int) -> None:
        x = noise.contiguous(memory_format=layout)
        scheduler.set_timesteps(steps)
        for t in scheduler.timesteps:
            without, with_ = model(torch.cat([x, x]), t, tokens, class_labels=vector).sample.chunk(2)
            x = scheduler.step(without + size["guidance"] * (with_ - without), t, x).prev_sample

    layouts, tried = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}, {}
    for name, layout in layouts.items():
        model.to(memory_format=layout)  # pyright: ignore[reportCallIssue]
        seconds(lambda layout=layout: drawn(layout, 1))
        tried[name] = seconds(lambda layout=layout: drawn(layout, 1))
    name = min(tried, key=lambda name: tried[name])
    model.to(memory_format=layouts[name])  # pyright: ignore[reportCallIssue]
    return {"parameters": count(model), "seconds": seconds(lambda: drawn(layouts[name], steps)), "layout": name}


def words(size: dict[str, Any]) -> dict[str, Any]:
    """Texts of one length by `generate`, greedily and with its cache, about some encoded tokens."""
    from transformers import BlipTextConfig  # pyright: ignore[reportMissingImports]
    from transformers.models.blip.modeling_blip_text import BlipTextLMHeadModel  # pyright: ignore[reportMissingImports]

    config = BlipTextConfig(
        vocab_size=size["vocabulary"],
        hidden_size=size["width"],
        encoder_hidden_size=size["width"],
        intermediate_size=size["hidden"],
        num_hidden_layers=size["depth"],
        num_attention_heads=size["heads"],
        max_position_embeddings=size["words"] + 1,
        is_decoder=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    model = BlipTextLMHeadModel(config).eval()
    context = torch.randn(size["rows"], size["context"], size["width"])
    mask = torch.ones(context.shape[:2], dtype=torch.long)
    start = torch.ones(size["rows"], 1, dtype=torch.long)

    def write() -> None:
        length = {"min_new_tokens": size["words"], "max_new_tokens": size["words"]}
        about = {"encoder_hidden_states": context, "encoder_attention_mask": mask}
        out = model.generate(start, **length, **about, do_sample=False, use_cache=True)  # pyright: ignore
        assert out.shape == (size["rows"], size["words"] + 1), out.shape

    seconds(write)
    return {"parameters": count(model), "seconds": min(seconds(write) for _ in range(CALLS))}


def count(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def seconds(call: Callable[[], None]) -> float:
    with torch.inference_mode():
        start = time.perf_counter()
        call()
        return time.perf_counter() - start


if __name__ == "__main__":
    verb, given = sys.argv[1:]
    print(json.dumps({"pictures": pictures, "words": words}[verb](json.loads(given))))
