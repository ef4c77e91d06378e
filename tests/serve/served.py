"""A small collection behind a server, asked without a network."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import httpx
import numpy as np
from search.fake import COLOURS, Tricolour, folder

from sensorium.core.protocols import Item
from sensorium.modalities import Audio, Image, Text, Video
from sensorium.modalities.audio import wav_bytes
from sensorium.modalities.written import png_bytes
from sensorium.recipes.towers import space
from sensorium.search import Collection
from sensorium.sensorium import Sensorium
from sensorium.serve.app import Server

HERE = "http://localhost:8000"


@dataclass
class Reading(Tricolour):
    """The exact model of the tests of `search`, which takes prepared arrays too."""

    def encode(self, **raws):
        empty = {name: np.zeros((0, 6), np.float32) for name, some in raws.items() if not some}
        return empty | super().encode(**{name: some for name, some in raws.items() if some})

    def units(self, batch, rows):
        (place,) = [(i, field) for i, field in enumerate(self.fields) if field.name in batch]
        field = place[1]
        raws = [(x, field.rate) if field.kind == "audio" else x for x in batch[field.name]]
        out = np.zeros((rows, 6), np.float32)
        out[: len(raws)] = [self._one(*place, raw) for raw in raws]
        return {f"{field.name}/unit": out}


def made(root: Path) -> Collection:
    return Collection.update(Reading(), folder(root / "files"), root / "c", root=root / "files", model_path=root)


FIELDS = (
    Image(size=16),
    Text(words=("red", "blue", "dog", "cat"), alphabet=ascii_lowercase, length=8),
    Audio(rate=2000, seconds=0.5),
    Video(size=16, frames=4, seconds=1.0),
)
DIALS = {
    "convnet": {"widths": [6, 8]},
    "text_transformer": {"width": 8, "heads": 2, "window": 3},
    "audio_convnet": {"bins": 16, "hop": 50, "widths": [4, 6]},
    "video": {"width": 8, "depth": 1},
}


def by_tokens(root: Path) -> tuple[Sensorium, Collection]:
    """A small space of the house, in which tokens have their places; and a picture, a note, a long sound and a long clip."""
    card, draw = space(FIELDS, 12, DIALS), np.random.default_rng(0)
    model = Sensorium(card.build(0), FIELDS, card)
    picture, other, sound, clip = root / "a.png", root / "b.png", root / "a.wav", root / "a.mp4"
    for path in (picture, other):
        path.write_bytes(png_bytes(draw.integers(0, 256, (16, 16, 3), np.uint8)))
    sound.write_bytes(wav_bytes(draw.uniform(-1, 1, 3000).astype(np.float32), 2000))
    clip.write_bytes(three_seconds())
    items = [
        Item("picture", {"image": (picture,), "text": ("a red dog", "cat")}),
        Item("other", {"image": (other,)}),
        Item("note", {"text": ("blue cat",)}),
        Item("sound", {"audio": (sound,)}),
        Item("clip", {"video": (clip,)}),
    ]
    return model, Collection.update(model, items, "memory:", root=root)


def three_seconds() -> bytes:
    """A clip that is red, then green, then blue, a second each."""
    import av

    out = BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for colour in (rgb for rgb in COLOURS.values() for _ in range(10)):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), colour, np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out.getvalue()


class Client:
    """`client.post("/search", json=…)`; each call is a request of its own."""

    def __init__(self, server: Server):
        self.server = server

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.all([(method, path, more)])[0]

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.ask("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.ask("POST", path, **more)

    def all(self, calls: list[tuple[str, str, dict[str, Any]]]) -> list[httpx.Response]:
        """Several at once."""

        async def go() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.server.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
                return await asyncio.gather(*(client.request(method, path, **more) for method, path, more in calls))

        return asyncio.run(go())


def run(make: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(make())
