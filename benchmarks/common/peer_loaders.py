"""The peers of benchmarks/data.py, run by a Python that has torch: PyTorch's loader over Pillow, and WebDataset over the tars.

python peer_loaders.py plain|webdataset PLACE BATCH      prints [seconds, pictures]
"""

import io
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.utils.data import DataLoader, Dataset  # pyright: ignore[reportMissingImports]

SIZE, LENGTH, WORKERS = 64, 16, 2


def tokenizer(words: list[str]) -> Tokenizer:
    made = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, **{word: i + 2 for i, word in enumerate(words)}}, "[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.enable_padding(length=LENGTH)
    made.enable_truncation(LENGTH)
    return made


def picture(source) -> np.ndarray:
    """As torchvision's Resize and CenterCrop do it: the short side to 64, bicubic, the middle."""
    image = Image.open(source).convert("RGB")
    scale = SIZE / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - SIZE) // 2, (image.height - SIZE) // 2
    return np.asarray(image.crop((left, top, left + SIZE, top + SIZE)))


class Plain(Dataset):
    def __init__(self, root: Path, words: list[str]):
        self.pictures = sorted((root / "images").iterdir())
        self.captions = root / "captions"
        self.tokenizer = tokenizer(words)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, i: int):
        path = self.pictures[i]
        caption = (self.captions / f"{path.stem}.txt").read_text()
        return torch.from_numpy(picture(path).copy()), torch.tensor(self.tokenizer.encode(caption).ids)


def plain(place: Path, words: list[str], batch: int) -> DataLoader:
    return DataLoader(Plain(place / "set", words), batch, shuffle=True, num_workers=WORKERS, drop_last=True)


def shards(place: Path, words: list[str], batch: int) -> DataLoader:
    import webdataset

    made = tokenizer(words)

    def sample(row: dict):
        content = row.get("jpg") or row["png"]
        return torch.from_numpy(picture(io.BytesIO(content)).copy()), torch.tensor(made.encode(row["txt"].decode()).ids)

    files = sorted(map(str, (place / "tar").glob("*.tar")))
    data = (
        webdataset.WebDataset(  # pyright: ignore[reportAttributeAccessIssue]
            files, shardshuffle=False
        )
        .shuffle(1000)
        .map(sample)
        .batched(batch, partial=False)
    )
    return DataLoader(data, None, num_workers=WORKERS)  # type: ignore[arg-type]


if __name__ == "__main__":
    name, place, batch = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    loader = {"plain": plain, "webdataset": shards}[name](place, json.loads((place / "words.json").read_text()), batch)
    start, count = time.perf_counter(), 0
    for pictures, _ in loader:
        count += len(pictures)
    print(json.dumps([time.perf_counter() - start, count]))
