"""What all references share: PyTorch and transformers, pictures and texts that are awkward, parameters that all differ."""

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}
PICTURES = Path(__file__).parents[1] / "recorded" / "pictures"
TEXTS = (
    "a photo of a cat",
    "",
    "Hello,   World!! It's 1234 o'clock",
    "🙂 a 🐈‍⬛ in the café, naïve É",
    "שלום עולם",
    "\n\ttabs and\u00a0spaces \u3000",
    "the cat " * 40,
    "[CLS] <|endoftext|> inside </s> [SEP]",
    "ﬁne ＦＵＬＬ width, Ångström, 猫が好き",
)


def several(n: int) -> list[str]:
    """So many of the texts, from the first one on."""
    return [TEXTS[i % len(TEXTS)] for i in range(n)]


def torch() -> Any:
    module = importlib.import_module("torch")
    module.set_num_threads(1)
    return module


def transformers() -> Any:
    return importlib.import_module("transformers")


def pictures() -> list[Any]:
    """The pictures of the tests, upright, as transformers' `load_image` has them before it makes RGB of them."""
    pillow, ops = importlib.import_module("PIL.Image"), importlib.import_module("PIL.ImageOps")
    return [ops.exif_transpose(pillow.open(path)) for path in sorted(PICTURES.iterdir())]


def draw_pictures() -> None:
    """Odd sizes, grey, grey and alpha, alpha, a palette with and without transparency, 1 bit, CMYK, and one that EXIF turns."""
    pillow = importlib.import_module("PIL.Image")
    PICTURES.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(6)

    def some(height: int, width: int, channels: int) -> np.ndarray:
        rows, columns = np.arange(height)[:, None, None], np.arange(width)[None, :, None]
        waves = 127 + 90 * np.sin(rows * draw.uniform(0.1, 1, channels) + columns * draw.uniform(0.1, 1, channels))
        return (waves + draw.integers(0, 30, (height, width, channels))).clip(0, 255).astype(np.uint8)

    made = {
        "alpha.png": pillow.fromarray(some(41, 40, 4), "RGBA"),
        "grey.png": pillow.fromarray(some(31, 64, 1)[..., 0]),
        "grey_alpha.png": pillow.fromarray(some(22, 35, 2), "LA"),
        "palette.png": pillow.fromarray(some(33, 29, 3)).quantize(20),
        "one_bit.png": pillow.fromarray(some(36, 30, 1)[..., 0]).convert("1"),
        "tall.png": pillow.fromarray(some(61, 9, 3)),
        "tiny.png": pillow.fromarray(some(3, 5, 3)),
        "wide.png": pillow.fromarray(some(37, 50, 3)),
    }
    for name, picture in made.items():
        picture.save(PICTURES / name)
    made["palette.png"].save(PICTURES / "palette_clear.png", transparency=3)
    pillow.fromarray(some(48, 40, 3)).convert("CMYK").save(PICTURES / "cmyk.jpg", quality=80)
    turned = pillow.fromarray(some(30, 45, 3))
    exif = turned.getexif()
    exif[274] = 6
    turned.save(PICTURES / "turned.jpg", exif=exif, quality=80)


def perturb(model: Any, seed: int) -> None:
    """Every parameter its own, so that a swapped or dropped one is seen; sizes that keep the signal alive."""
    t = torch()
    t.manual_seed(seed)
    with t.no_grad():
        for name, value in model.named_parameters():
            noise = t.randn(value.shape)
            if "logit_scale" in name:
                value.fill_(1.7)
            elif "norm" in name.lower() and value.ndim == 1 and name.endswith("weight"):
                value.copy_(1 + 0.3 * noise)
            elif value.ndim > 1:
                fan = value[0].numel() if "embedding" not in name or "patch" in name else 4
                value.copy_(noise * 1.2 / fan**0.5)
            else:
                value.copy_(0.3 * noise)
    model.eval()


def save_numbers(folder: Path, numbers: dict[str, Any]) -> None:
    found = {key: np.asarray(value) for key, value in numbers.items()}
    small = {"int64": np.int32, "float64": np.float32}
    kept: dict[str, Any] = {key: x.astype(small.get(str(x.dtype), x.dtype)) for key, x in found.items()}
    np.savez_compressed(folder / "reference.npz", **kept)
