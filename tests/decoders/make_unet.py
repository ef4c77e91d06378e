"""Makes unet.npz with diffusers' `UNet2DConditionModel`; run it where torch and diffusers are installed.

`python tests/decoders/make_unet.py`: the tests themselves need neither. The parameters are drawn by name, here as in the test:
what is kept is their names and shapes, what went in and what came out.
"""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_name("unet.npz")
CONFIGS: dict[str, dict[str, Any]] = {
    "small": {
        "sample_size": 6,
        "in_channels": 3,
        "out_channels": 3,
        "block_out_channels": (12, 20),
        "layers_per_block": 2,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": (3, 5),  # it is the number of heads
        "cross_attention_dim": 7,
        "norm_num_groups": 4,
        "class_embed_type": "simple_projection",
        "projection_class_embeddings_input_dim": 9,
    },
}
CONFIGS["scaled"] = CONFIGS["small"] | {
    "layers_per_block": 1,
    "resnet_time_scale_shift": "scale_shift",
    "use_linear_projection": True,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
TIMES = (3.0, 700.0)


def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A parameter: around 1 for the scale of a norm, small around 0 for what is added, and else at the scale of its inputs."""
    draw = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    if len(shape) == 1:
        return 0.2 * draw + float("norm" in name and name.endswith("weight"))
    return draw / np.float32(np.sqrt(np.prod(shape[1:])))


def given() -> dict[str, np.ndarray]:
    """What goes in, in the layout of diffusers: a picture, times, tokens, which of them are there, a vector."""
    draw = np.random.RandomState(0)
    x, tokens, vector = (draw.standard_normal(shape).astype(np.float32) for shape in ((2, 3, 6, 6), (2, 5, 7), (2, 9)))
    mask = np.array([[True] * 5, [True, True, True, False, False]])
    return {"x": x, "t": np.asarray(TIMES, np.float32), "tokens": tokens, "mask": mask, "vector": vector}


def main() -> None:
    import torch  # pyright: ignore[reportMissingImports]
    from diffusers import UNet2DConditionModel  # pyright: ignore[reportMissingImports]

    made: dict[str, Any] = {}
    for name, config in CONFIGS.items():
        model = UNet2DConditionModel(**config).eval()
        shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
        model.load_state_dict({key: torch.from_numpy(drawn(key, shape)) for key, shape in shapes.items()})
        x, t, tokens, mask, vector = (torch.from_numpy(value) for value in given().values())
        with torch.inference_mode():
            out = model(x, t, tokens, class_labels=vector, encoder_attention_mask=mask).sample
            exact = model.double()(
                x.double(), t.double(), tokens.double(), class_labels=vector.double(), encoder_attention_mask=mask
            )
        print(name, sum(int(np.prod(s)) for s in shapes.values()), "parameters; out", out.std().item())
        print("float32 differs from float64 by", (out - exact.sample).abs().max().item())
        made |= {f"{name}/out": out.numpy(), f"{name}/names": np.frombuffer(json.dumps(shapes).encode(), np.uint8)}
    np.savez_compressed(FILE, **made)
    print(FILE.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
