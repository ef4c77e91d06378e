"""The page, from files that lie beside this one: nothing of it comes from elsewhere, so that it works offline."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensorium.serve.bounds import NotFound

if TYPE_CHECKING:
    from fastapi import FastAPI
else:
    FastAPI = Any

FOLDER = Path(__file__).parent / "page"
MEDIA = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def put(api: FastAPI) -> None:
    """`/` is the page, `/docs` tells of the API, `/page/…` is what they are made of, by name."""
    from fastapi.responses import Response

    files = {path.name: (path.read_bytes(), MEDIA[path.suffix]) for path in FOLDER.iterdir() if path.suffix in MEDIA}

    def given(name: str) -> Response:
        if name not in files:
            raise NotFound(f"the page has no {name[:80]!r}")
        content, media = files[name]
        return Response(content, media_type=media, headers={"cache-control": "no-cache"})

    @api.get("/", include_in_schema=False)
    async def page() -> Response:
        return given("index.html")

    @api.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return given("docs.html")

    @api.get("/page/{name}", include_in_schema=False)
    async def part(name: str) -> Response:
        return given(name)


def locked() -> bytes:
    """The page for a browser that comes without the token."""
    return (FOLDER / "locked.html").read_bytes()
