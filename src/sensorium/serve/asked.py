"""A request's body as what it asks for: JSON, or a form with files. The gate has counted its bytes before."""

import json
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from sensorium.core.errors import nearest, need
from sensorium.core.protocols import Modality
from sensorium.serve.bounds import Refused
from sensorium.serve.senses import Thing, field_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
else:
    Request = Sequence = Any

T = TypeVar("T")
MOST_FILES, MOST_PARTS, MOST_VALUE = 16, 64, 2**18


async def asked(request: Request, kind: type[T], known: "Sequence[Modality]") -> tuple[T, list[Thing]]:
    """A `kind` (a dataclass) and the files, each a thing of the field in `known` by whose name or kind it was sent.

    `Refused` for a body of another type, one that is none, and for names and values that the dataclass does not take.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == "application/json":
        values, files = _json(await request.body()), []
    elif media == "multipart/form-data":
        values, files = await _form(request, kind)
    else:
        raise Refused(415, f"a body of the type {media[:80]!r}: expected application/json or multipart/form-data")
    return _checked(kind, values), [Thing(field_of(known, name), content) for name, content in files]


def schema(kind: type, files: bool = True) -> dict[str, Any]:
    """What OpenAPI tells of a body that is read as `kind`, with `files` or without."""
    told = _adapter(kind).json_schema()
    content = {"application/json": {"schema": told}}
    if files:
        any_kind = {name: {"type": "string", "format": "binary"} for name in ("image", "audio", "video", "sensor")}
        content["multipart/form-data"] = {"schema": {**told, "properties": {**told["properties"], **any_kind}}}
    return {"requestBody": {"required": True, "content": content}}


def _json(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(values, dict):
        raise Refused(422, "the body: expected a JSON object")
    return values


async def _form(request: Request, kind: type) -> tuple[dict[str, Any], list[tuple[str, bytes]]]:
    """What stands in a form: a name that comes several times is a list, as is one that the dataclass has as a list."""
    starlette = need("starlette.exceptions", "web", "a server")
    try:
        form = await request.form(max_files=MOST_FILES, max_fields=MOST_PARTS, max_part_size=MOST_VALUE)
    except (starlette.HTTPException, ValueError) as error:  # the parser's own words
        raise Refused(400, f"the form cannot be read: {' '.join(str(error).split())[:200]}") from error
    values: dict[str, Any] = {}
    files: list[tuple[str, bytes]] = []
    for name, value in form.multi_items():
        if not isinstance(value, str):
            files.append((name, await value.read()))
        elif name in _lists(kind):
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    await form.close()
    return values, files


@cache
def _lists(kind: type) -> frozenset[str]:
    return frozenset(one.name for one in fields(kind) if "list" in str(one.type))  # type: ignore[arg-type]  # it is a dataclass


@cache
def _adapter(kind: type) -> Any:
    return need("pydantic", "web", "a server").TypeAdapter(kind)


def _checked(kind: type[T], values: dict[str, Any]) -> T:
    pydantic = need("pydantic", "web", "a server")
    names = [one.name for one in fields(kind)]  # type: ignore[arg-type]  # it is a dataclass
    values = {name: [value] if name in _lists(kind) and isinstance(value, str) else value for name, value in values.items()}
    for name in values:
        if name not in names:
            raise Refused(422, f"there is no {name[:80]!r} here.{nearest(name[:80], names)}")
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:  # half of a pair of surrogates, which no tokenizer takes
        raise Refused(422, "a text in it is no Unicode") from error
    try:
        return _adapter(kind).validate_python(values)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Refused(422, f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}") from error
