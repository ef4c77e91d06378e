"""What answers at which address of the API."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensorium.serve.asked import asked, schema
from sensorium.serve.bounds import Refused
from sensorium.serve.chart import Chart, chart
from sensorium.serve.finding import MOST_PARTS, About, Answer, Finder, Page, Query
from sensorium.serve.meters import Meters
from sensorium.serve.reasons import Reason, Reasons, Why
from sensorium.serve.senses import MOST_TEXT, Senses, Thing
from sensorium.serve.telling import Made, Tellers, Texts
from sensorium.serve.wishes import Ask, Caption, Generate

if TYPE_CHECKING:
    from fastapi import FastAPI
else:
    FastAPI = Any

MEDIA = {
    **{".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif"},
    **{".bmp": "image/bmp", ".tif": "image/tiff", ".tiff": "image/tiff", ".wav": "audio/wav", ".flac": "audio/flac"},
    **{".ogg": "audio/ogg", ".oga": "audio/ogg", ".opus": "audio/ogg", ".mp3": "audio/mpeg", ".m4a": "audio/mp4"},
    **{".aac": "audio/aac", ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm"},
    **{".avi": "video/x-msvideo", ".mkv": "video/x-matroska", ".csv": "text/plain", ".tsv": "text/plain", ".txt": "text/plain"},
}
"""As what a file is given out; any other as bytes to keep, which no browser runs."""
ALONE = {"content-security-policy": "sandbox; default-src 'none'", "cache-control": "private, max-age=300"}
"""The headers of a file of the collection, should somebody open it by itself."""


@dataclass(frozen=True)
class Embed:
    """The texts to embed, beside the files that are sent."""

    text: list[str] = field(default_factory=list)

    def __post_init__(self):
        if len(self.text) > MOST_PARTS or any(len(one) > MOST_TEXT for one in self.text):
            raise Refused(422, f"at most {MOST_PARTS} texts of at most {MOST_TEXT} characters at once")


@dataclass(frozen=True)
class Vectors:
    """Unit vectors by field, in the order in which the things were given; `fingerprint`: of the model that they come from."""

    vectors: dict[str, list[list[float]]]
    fingerprint: str


def searching(api: FastAPI, finder: Finder, senses: Senses, reasons: Reasons) -> None:
    from fastapi import Request

    known = tuple(senses.fields.values())

    @api.post("/search", tags=["search"], openapi_extra=schema(Query))
    async def search(request: Request) -> Answer:
        """Finds the items nearest to a text, to files, to other items, or to any mix of them.

        As JSON, or as a form with files under the name or the kind of a field (`image`, `audio`, `video`, `sensor`)."""
        return await finder.find(*await asked(request, Query, known))

    @api.post("/why", tags=["search"], openapi_extra=schema(Why))
    async def why(request: Request) -> Reason:
        """Which patch, moment or word of an item is like which word of a query, in numbers, in words, and as a picture.

        The query is as for `/search`. 422 where the tokens of the model lie in no shared space, 404 where the item, or its file,
        is not there."""
        return await reasons.why(*await asked(request, Why, known))

    @api.post("/embed", tags=["search"], openapi_extra=schema(Embed))
    async def embed(request: Request) -> Vectors:
        """The unit vectors of texts and files, as the collection has them."""
        query, things = await asked(request, Embed, known)
        if query.text:
            text = senses.field("text")
            things = [*things, *(Thing(text, one) for one in query.text)]
        if not things:
            raise Refused(422, "nothing to embed: give texts or files")
        out: dict[str, list[list[float]]] = {}
        for thing, vector in zip(things, await senses.vectors(things), strict=True):
            out.setdefault(thing.field.name, []).append([float(x) for x in vector])
        return Vectors(out, finder.collection.fingerprint)


def items(api: FastAPI, finder: Finder) -> None:
    from fastapi.responses import FileResponse, Response
    from starlette.convertors import PathConvertor, register_url_convertor

    class Id(PathConvertor):
        """Whatever may be the id of an item: slashes, and the line breaks that names of files may hold."""

        regex = "(?s:.*)"

    register_url_convertor("id", Id())

    @api.get("/items", tags=["items"])
    async def listed(after: str = "", k: int = 100, where: str = "") -> Page:
        """All items, a page of `k` at a time, in the order of their ids: go on with `after`, the `next` of the page before.

        `where`: only those of which this holds, as in `year > 2020 and kind = 'video'`."""
        return await finder.page(after, k, where)

    @api.get("/items/{id:id}/thumbnail", tags=["items"], response_class=Response)
    async def thumbnail(id: str, at: float | None = None) -> Response:
        """A small JPEG of an item; of its clip after `at` seconds, where these are given."""
        found = await (finder.thumbnail(id) if at is None else finder.moment(id, at))
        return Response(found, media_type="image/jpeg", headers=ALONE)

    @api.get("/items/{id:id}/file/{kind}", tags=["items"], response_class=FileResponse)
    async def file(id: str, kind: str) -> FileResponse:
        """A file of an item, by its kind; parts of it by `Range`."""
        path: Path = await finder.file(id, kind)
        media = MEDIA.get(path.suffix.lower())
        how = "attachment" if media is None else "inline"
        return FileResponse(
            path, 200, ALONE, media or "application/octet-stream", filename=path.name, content_disposition_type=how
        )

    @api.get("/items/{id:id}", tags=["items"])
    async def item(id: str) -> About:
        """All that is known of an item."""
        return await finder.about(id)

    @api.get("/map", tags=["items"])
    async def map(field: str = "") -> Chart:
        """The places of items on a map: their vectors of a field (by default the first) in two dimensions. None of them where the
        collection has no vectors, as while it is made anew."""
        return await finder.run(lambda: drawn(field))

    def drawn(name: str) -> Chart:
        version, known = charts.get(name, (-1, None))
        if known is None or version != finder.collection.store.version:
            version, known = charts[name] = finder.collection.store.version, chart(finder.collection, name)
        return known

    charts: dict[str, tuple[int, Chart | None]] = {}


def telling(api: FastAPI, finder: Finder, senses: Senses, tellers: Tellers) -> None:
    from fastapi import Request

    async def one(things: list[Thing], id: str, verb: str) -> Thing:
        """The one thing that is meant: the file that was sent, or the item's."""
        if len(things) + bool(id) != 1:
            raise Refused(422, f"{len(things)} files and {'an' if id else 'no'} item: give one file, or the id of one item")
        thing = things[0] if things else await finder.thing(id, tellers.reads(verb))
        await senses.check(thing)
        return thing

    @api.post("/caption", tags=["tell"], openapi_extra=schema(Caption))
    async def caption(request: Request) -> Texts:
        """What an item, or the file that is sent, holds, in words. 404 where no model of this server captions."""
        how, things = await asked(request, Caption, tellers.reads("caption"))
        return await tellers.caption(await one(things, how.id, "caption"), how)

    @api.post("/ask", tags=["tell"], openapi_extra=schema(Ask))
    async def ask(request: Request) -> Texts:
        """The answer to a question about an item, or about the file that is sent. 404 where no model of this server answers."""
        how, things = await asked(request, Ask, tellers.reads("ask"))
        return await tellers.answer(await one(things, how.id, "ask"), how)

    @api.post("/generate", tags=["tell"], openapi_extra=schema(Generate))
    async def generate(request: Request) -> Made:
        """Pictures, sounds, clips, traces or texts, made of what is said, shown or played. 404 where no model makes any."""
        if not tellers.makers:
            tellers.reads("generate")
        every = {field.name: field for name in tellers.makers for field in tellers.reads("generate", name)}
        how, things = await asked(request, Generate, tuple(every.values()))
        if how.id:
            things = [*things, await finder.thing(how.id, [f for f in tellers.reads("generate", how.to) if f.kind != "text"])]
        for thing in things:
            await senses.check(thing)
        return await tellers.make(things, how)


def state(api: FastAPI, finder: Finder, about: Callable[[], dict[str, Any]], meters: Meters) -> None:
    from fastapi.responses import Response

    @api.get("/about", tags=["server"])
    async def about_server() -> dict[str, Any]:
        """What can be searched here, by what, and what else the models can do."""
        return await finder.run(about)

    @api.get("/healthz", tags=["server"])
    async def healthz() -> dict[str, str]:
        """That the server answers; it asks for no token."""
        return {"status": "ok"}

    @api.get("/metrics", tags=["server"], response_class=Response)
    async def metrics() -> Response:
        """Counts and times, as Prometheus reads them."""
        text = await asyncio.to_thread(meters.text)  # some of it asks the store, which nobody else should wait for
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
