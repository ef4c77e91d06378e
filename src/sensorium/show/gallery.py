"""What a search found, as one HTML page with its pictures and sounds inside."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensorium.core.errors import BadFile, need
from sensorium.core.files import write_text
from sensorium.modalities import picture_file, sound_file
from sensorium.search.collection import Collection, Hit
from sensorium.show.inline import clip_uri, picture_uri, png_uri, sound_uri, waveform

if TYPE_CHECKING:
    from jinja2 import Environment
else:
    Environment = Any


@dataclass(frozen=True)
class Shown:
    """Something to look at, to read and to hear.

    `picture`: a PIL image, a path or the bytes of a file; `sound`: (array, rate) or a path; `clip`: (frames u8[T H W 3], frames a
    second), shown moving; `label`: a word above it ("text query", a file's name); `correct`: whether it is what was looked for,
    None where that is not known. `why`: the bytes of a PNG of what made it a hit, shown below it; `marks`: the
    pieces of its text, each with how much it counted, from 0 to 1.
    """

    caption: str = ""
    picture: Any = None
    sound: Any = None
    score: float | None = None
    label: str = ""
    correct: bool | None = None
    clip: Any = None
    why: bytes | None = None
    marks: Sequence[tuple[str, float]] = ()


@dataclass(frozen=True)
class QueryResult:
    """A query and what was found, best first."""

    query: Shown
    hits: list[Shown] = field(default_factory=list)
    note: str = ""


def shown(collection: Collection, hit: Hit) -> Shown:
    """A hit with its picture and its sound; a file that has gone since is replaced by the thumbnail, or is said to be gone."""
    from sensorium.models.summarizing import clock

    picture, gone = collection.thumbnail(hit.id), []
    path, sound = collection.file(hit.id, "image"), collection.file(hit.id, "audio")
    if path is not None:
        try:
            picture = picture_file.read(path, 320)
        except BadFile as error:
            gone.append(str(error))
    if sound is not None:
        try:
            sound_file.measure(sound)
        except BadFile as error:
            gone.append(str(error))
            sound = None
    caption = " · ".join([hit.caption or hit.id, *gone])
    when = "" if hit.start is None or hit.end is None else f" from {clock(hit.start)} to {clock(hit.end)}"
    return Shown(caption, picture, sound, hit.score, label=f"{hit.id}, by its {hit.field}{when}")


def write_gallery(results: Sequence[QueryResult], path: Path | str, title: str = "Search results") -> None:
    """Writes the page; it refers to nothing outside of itself. Names of files that are no UTF-8 are shown with escapes."""
    page = environment().get_template("gallery.html").render(title=title, results=results)
    write_text(path, page.encode("utf-8", "backslashreplace").decode())


@cache
def environment() -> "Environment":
    """The templates of this room, with everything escaped, and unknown names an error."""
    jinja2 = need("jinja2", "report", "writing an HTML page")
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "picture_uri": picture_uri,
        "png_uri": png_uri,
        "clip_uri": clip_uri,
        "sound_uri": sound_uri,
        "waveform": waveform,
    }
    return made
