"""Folders of real files for the tests of the data room."""

from pathlib import Path

from modalities.samples import save, sine, smooth, sound


def three_folders(root: Path, n: int = 4) -> Path:
    """`n` items with a picture, two captions and a sound each."""
    for i in range(n):
        save(root / "images" / f"item{i}.png", smooth(40, 50, seed=i))
        write(root / "captions" / f"item{i}.txt", f"a picture number {i}\nnumber {i} as a picture\n")
        sound(root / "audio" / f"item{i}.wav", sine(200 + 100 * i, 22050, 0.8), 22050)
    return root


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def half(path: Path) -> Path:
    """Cuts a file short."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path
