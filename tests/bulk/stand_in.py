"""The small exact model of tests/search with weak eyes, and folders for it.

What a picture is called kills the process that looks at it, as a file that breaks a decoder does.
"""

import os
import signal
import time
from pathlib import Path

from PIL import Image as Pillow
from search.fake import Tricolour

from sensorium.bulk import Spec

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (120, 40, 200))


class Weak(Tricolour):
    def _see(self, sense, raw):
        name = Path(raw).stem.partition("-")[2]
        if name == "exits":
            os._exit(3)
        if name == "segfaults":
            os.kill(os.getpid(), signal.SIGSEGV)
        if name == "once" and not (mark := Path(raw).with_suffix(".seen")).exists():  # a machine that is taken away
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "raises":
            raise ValueError("no decoder survives this")
        if name == "hangs":
            time.sleep(600)
        if name == "slow":
            time.sleep(0.2)
        return super()._see(sense, raw)


def load(path: Path | str) -> Weak:
    return Weak(fingerprint=f"weak {Path(path).name}")


def pictures(root: Path, names: list[str]) -> Path:
    """A folder of pictures of as many colours, `00-<name>.png` and on; every other has a caption."""
    for folder in ("images", "captions"):
        (root / folder).mkdir(parents=True)
    for i, name in enumerate(names):
        stem = f"{i:02d}-{name}"
        Pillow.new("RGB", (16, 12), tuple(c * (i + 20) // 60 for c in COLOURS[i % 6])).save(root / "images" / f"{stem}.png")
        if i % 2:
            (root / "captions" / f"{stem}.txt").write_text(f"a red thing {name}\ngreen")
    return root


def spec(root: Path, names: list[str], shards: int, out: str = "out") -> Spec:
    """A job on such a folder."""
    place = root / "photos"
    return Spec.of(
        place if place.exists() else pictures(place, names), "weak", root / out, shards, use=[Path(__file__).with_name("weak.py")]
    )
