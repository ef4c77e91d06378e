"""`sensorium serve`: a collection as a page and a JSON API."""

import os
import re
import secrets
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from sensorium.core.errors import SensoriumError, need

if TYPE_CHECKING:
    from rich.console import Console
else:
    Console = Any

EXAMPLE = """sensorium serve runs/photos --collection photos.collection
sensorium serve runs/photos --collection photos.collection --beside runs/captions runs/pictures --open
sensorium serve runs/photos --collection photos.collection --host 0.0.0.0   # others too, by the link with the token"""
TOKEN = "SENSORIUM_TOKEN"


def serve(
    model: tyro.conf.Positional[str],
    *,
    collection: str,
    beside: list[str] | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    name: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    token: str | None = None,
    upload: int = 32,
    rate: int = 8,
    wait: float = 10.0,
    open_page: Annotated[bool, tyro.conf.arg(name="open")] = False,
) -> dict:
    """Search a collection in the browser, and by a JSON API (see /docs there). Ctrl-C ends it.

    Only this machine reaches it, unless --host says otherwise; then it asks for a token, which is part of the link that is
    printed.

    Args:
        model: The model that made the collection: its folder, or its id on the Hub.
        collection: What `sensorium index` wrote.
        beside: Further models, for what this one cannot do: captions, answers, making things.
        host: The address to listen at; 0.0.0.0 for all of this machine.
        port: The port; 0 for any that is free.
        name: A name by which others call this machine, may be given several times; localhost and addresses are known.
        token: What everybody has to know who asks; also from the environment variable SENSORIUM_TOKEN. By default one is made
            where others than this machine can ask.
        upload: Megabytes that are taken at once.
        rate: Megabytes a second that one address may send in the long run.
        wait: Seconds that a question may have to wait; one that would wait longer is told to come again, at once.
        open_page: Open the page in the browser.
    """
    need("uvicorn", "web", "serving a collection")
    import sensorium
    from sensorium.cli import device
    from sensorium.search import Collection
    from sensorium.serve.app import Server
    from sensorium.serve.bounds import Bounds, Door, is_loopback
    from sensorium.serve.listening import listen

    device.prepare()
    opened = Collection.open(collection)
    known = token if token is not None else os.environ.get(TOKEN, "" if is_loopback(host) else secrets.token_urlsafe(18))
    if not re.fullmatch(r"[\w.~-]*", known, re.ASCII):
        raise SensoriumError("the token: expected letters, digits, and the signs - _ . ~, as it goes into a link")
    size = upload * 2**20
    bounds = Bounds(upload=size, held=max(8 * size, Bounds.held), rate=rate * 2**20, patience=wait)
    server = Server(opened, sensorium.load(model), [sensorium.load(one) for one in beside or []], Door(known, name), bounds)
    try:
        server.warm()
        asked = listen(server, host, port, known, open_page)
    finally:
        server.close()
    return {"collection": collection, "answered": asked}


def show(result: dict, console: "Console") -> None:
    console.print(f"ended; {result['answered']} requests were answered")
