"""The application: a collection, the model that made it and models beside it, at one address."""

import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sensorium import __version__
from sensorium.core.errors import BadFile, MissingExtra, SensoriumError, UnknownName, need
from sensorium.search import Collection, facts
from sensorium.search.centre import Centred
from sensorium.search.prefix import Prefix
from sensorium.sensorium import Sensorium
from sensorium.serve import addresses, pages
from sensorium.serve.bounds import Bounds, Door, NotFound, Refused
from sensorium.serve.finding import Finder
from sensorium.serve.gate import Gate
from sensorium.serve.meters import Meters
from sensorium.serve.reasons import Reasons
from sensorium.serve.senses import Reader, Senses
from sensorium.serve.telling import Tellers

if TYPE_CHECKING:
    from fastapi import FastAPI
else:
    FastAPI = Any

WARMED = (1, 8)
"""The sizes of batch that are compiled before anybody asks."""


class Server:
    """`app` is what an ASGI server runs. `SensoriumError` if `model` is not the one that made the collection."""

    def __init__(
        self,
        collection: Collection,
        model: Reader,
        beside: Sequence[Sensorium] = (),
        door: Door | None = None,
        bounds: Bounds | None = None,
    ):
        kept = collection.check(model)
        bounds, self.meters = bounds or Bounds(), Meters()
        self.collection, self.model, self.bounds = collection, model, bounds
        self.senses = Senses(model, bounds, self.meters, kept.kept if isinstance(kept, Prefix | Centred) else None)
        self.finder = Finder(collection, self.senses, bounds, self.meters)
        self.reasons = Reasons(self.finder, self.senses, bounds, self.meters)
        own = [model] if isinstance(model, Sensorium) else []
        self.tellers = Tellers([*own, *beside], bounds, self.meters)
        self.api = _api(self)
        self.app = Gate(self.api, door or Door(), bounds, self.meters, pages.locked())

    def about(self) -> dict[str, Any]:
        """What a page has to know: what can be searched, by what, and what else there is."""
        fields = [{"name": name, "kind": field.kind} for name, field in self.senses.fields.items()]
        verbs = {"caption": self.tellers.captions, "ask": self.tellers.answers}
        can: dict[str, list[str]] = {
            verb: [field.kind for field in self.tellers.reads(verb)] for verb, model in verbs.items() if model is not None
        }
        makes = [
            {
                "name": name,
                "kind": model.field(name).kind,
                "reads": [field.kind for field in self.tellers.reads("generate", name)],
            }
            for name, model in self.tellers.makers.items()
        ]
        return {
            "sensorium": __version__,
            "items": len(self.collection),
            "senses": fields,
            "fields": list(self.collection.fields),
            "can": can,
            "why": list(self.reasons.fields),
            "makes": makes,
            "most_bytes": self.bounds.upload,
            "filters": facts.names(self.collection.store.schema),
        }

    def warm(self) -> None:
        """Starts and compiles what the first questions need."""
        self.senses.start()
        for name, field in self.senses.fields.items():
            for rows in WARMED:
                if field.kind == "text":
                    self.model.encode(**{name: ["a"] * rows})
                else:
                    self.model.units({key: np.stack([x] * rows) for key, x in field.blank().items()}, rows)

    def close(self) -> None:
        for part in (self.finder, self.senses, self.reasons, self.tellers):
            part.close()


def _api(server: Server) -> FastAPI:
    need("fastapi", "web", "a server")
    need("python_multipart", "web", "a server that takes files")
    from fastapi import FastAPI

    told = "Searches a collection by text, pictures, sounds, clips and traces. Errors are JSON, `{error: sentence}`."
    api = FastAPI(title="Sensorium", version=__version__, description=told, docs_url=None, redoc_url=None)
    addresses.searching(api, server.finder, server.senses, server.reasons)
    addresses.items(api, server.finder)
    addresses.telling(api, server.finder, server.senses, server.tellers)
    addresses.state(api, server.finder, server.about, server.meters)
    pages.put(api)
    _errors(api)
    return api


def _errors(api: FastAPI) -> None:
    """Every error is a sentence; of one that is a bug of ours, the log has the whole."""
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
    from starlette.exceptions import HTTPException

    def said(status: int, text: str, again: int | None = None) -> JSONResponse:
        headers = {"cache-control": "no-store"} | ({} if again is None else {"retry-after": str(again)})
        return JSONResponse({"error": text}, status, headers)

    async def ours(request: Any, error: Any) -> JSONResponse:
        return said(status_of(error), str(error), error.again if isinstance(error, Refused) else None)

    async def wrong(request: Any, error: Any) -> JSONResponse:
        first = error.errors()[0]
        return said(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")

    async def unknown(request: Any, error: Any) -> JSONResponse:
        here = f"{request.method} {request.url.path[:80]}"
        return said(error.status_code, f"{here}: {error.detail}. See /docs")

    async def bug(request: Any, error: Any) -> JSONResponse:
        traceback.print_exception(error, file=sys.stderr)
        return said(500, "a bug in Sensorium: its log has the whole of it")

    api.add_exception_handler(SensoriumError, ours)
    api.add_exception_handler(RequestValidationError, wrong)
    api.add_exception_handler(HTTPException, unknown)
    api.add_exception_handler(Exception, bug)


def status_of(error: SensoriumError) -> int:
    """The status of an answer that is an error."""
    if isinstance(error, Refused):
        return error.status
    if isinstance(error, NotFound):
        return 404
    if isinstance(error, BadFile | UnknownName | ValueError):
        return 422
    return 501 if isinstance(error, MissingExtra) else 400
