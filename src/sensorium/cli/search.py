"""`sensorium search`: finds the items of a collection by text, picture, sound, clip, trace, or all of them at once."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from sensorium.cli import problems
from sensorium.cli.main import WrongUsage
from sensorium.core.errors import SensoriumError, UnknownName, nearest

if TYPE_CHECKING:
    from rich.console import Console

    from sensorium.search import Collection, Hit
    from sensorium.search.embed import Model
    from sensorium.search.late import Match
    from sensorium.search.mixed import Term
else:
    Console = Collection = Hit = Model = Match = Term = Any

LONG = 120
"""Letters of a caption that are shown in the table; --json has all of it."""
EXAMPLE = """sensorium search photos.collection "a red bicycle" -k 5
sensorium search photos.collection --image cat.jpg --within audio --open
sensorium search photos.collection '"a dog" + 0.5*image:beach.jpg - "snow"' --where "year > 2020 and kind = 'video'" --group"""


def search(
    collection: tyro.conf.Positional[str],
    text: tyro.conf.Positional[str] = "",
    *,
    k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 10,
    image: Path | None = None,
    audio: Path | None = None,
    video: Path | None = None,
    sensor: Path | None = None,
    by: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    within: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    where: str | None = None,
    group: bool = False,
    words: bool = False,
    rerank: int | None = None,
    why: bool = False,
    model: str | None = None,
    page: Path | None = None,
    open_page: Annotated[bool, tyro.conf.arg(name="open")] = False,
) -> dict:
    """Find the items of a collection that are nearest to a text, a picture, a sound, a clip, a trace, or to all that are given.

    Args:
        collection: What `sensorium index` wrote.
        text: What to look for, in words; or a sum, such as '"a dog" + 0.5*image:beach.jpg - "snow"'.
        k: How many items to find.
        image: A picture to look for.
        audio: A sound to look for.
        video: A clip to look for.
        sensor: A trace of a sensor to look for.
        by: A thing of a modality of your own to look for, as KIND=FILE; may be given several times.
        within: A field to search, may be given several times; by default those that the query itself does not have.
        where: Only items whose metadata say so: "year > 2020 and (kind = 'video' or place in ('Rome', 'Oslo'))".
        group: Show hits that are nearly the same as a better one beside that, and not as hits of their own.
        words: Look for the very words in captions and passages, too, and rank both as one.
        rerank: Read so many of the first hits again, and put them in the order of what their patches, moments and words are like
            those of the query (late interaction).
        why: Say which patch, moment or word of each hit is like which word of the query, and show it on a page.
        model: The model that made the collection (a folder, or an id on the Hub), if it is no longer where it was then.
        page: Write what was found as one HTML page here.
        open_page: Write the page (beside the collection, or here where that is at an address, unless --page says where) and open
            it in the browser.
    """
    import sensorium
    from sensorium.cli import device
    from sensorium.modalities.text import unknown_words
    from sensorium.search import Collection
    from sensorium.search.grouping import grouped
    from sensorium.search.late import Reordered
    from sensorium.search.late import rerank as reordered
    from sensorium.search.where import parse

    if page and page.is_dir():
        raise SensoriumError(f"{page} is a folder: --page names the file to write, such as {page / 'found.html'}")
    device.prepare()
    named = {"text": text, "image": image, "audio": audio, "video": video, "sensor": sensor}
    given = {kind: raw for kind, raw in {**named, **_own(by)}.items() if raw}
    opened = Collection.open(collection)
    if not given:  # told before the model is loaded, which takes seconds
        raise SensoriumError("nothing to look for: give a text, or --image, --audio, --video or --sensor FILE")
    if where is not None:
        parse(where)
    if rerank is not None and rerank < 1:
        raise SensoriumError(f"--rerank {rerank}: say how many of the first hits to put in another order, 1 or more")
    loaded = sensorium.load(model_place(opened, model))
    many = max(k * 4 if group else k, rerank or 0)  # some of them will be nearly the same as others
    hits = _found(opened, loaded, given, many, (within or None, where), words)
    late, terms = Reordered(hits, {}, []), terms_of(loaded, given)
    if rerank is not None:
        late = reordered(opened, loaded, terms, hits, rerank)
    hits = (grouped(opened, late.hits) if group else late.hits)[:k]
    if why:
        unseen = [hit for hit in hits if hit.id not in late.matches]
        more = reordered(opened, loaded, terms, unseen, k)
        late = Reordered(hits, late.matches | more.matches, late.problems + [p for p in more.problems if p not in late.problems])
    target = page or (_beside(collection) if open_page or why else None)
    if target:
        _write_page(opened, loaded, given, hits, target, open_page, late.matches if why else {})
    fields = {field.name: field for field in loaded.fields}
    answers = [_answer(rank, hit, late.matches.get(hit.id) if why else None) for rank, hit in enumerate(hits, 1)]
    query = {kind: str(raw) for kind, raw in given.items()}
    return {
        "collection": collection,
        "query": query,
        "unknown_words": unknown_words((fields[term.field], term.raw) for term in terms),
        "hits": answers,
        "problems": [asdict(problem) for problem in late.problems],
        "page": str(target) if target else None,
        "words": words,
        "of": len(opened),
        "complete": opened.store.about.get("complete", True),
    }


def show(result: dict, console: "Console") -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from sensorium.models.summarizing import clock

    late = any(hit["late"] is not None for hit in result["hits"])
    scored = ["cosine" if result["words"] else "score", *(["by tokens"] if late else [])]
    table = Table("", *scored, "by", "id", "path", "caption", box=box.SIMPLE_HEAD, pad_edge=False)
    for hit in result["hits"]:
        when = "" if hit["start"] is None else f" {clock(hit['start'])} to {clock(hit['end'])}"
        also = f" (and {len(hit['alike'])} alike)" if hit["alike"] else ""
        cells = hit["field"] + when, hit["id"] + also, _near(hit["path"]), shorten(hit["caption"], LONG, placeholder=" …")
        scores = [f"{hit['score']:.3f}", *([f"{hit['late']:.3f}" if hit["late"] is not None else "–"] if late else [])]
        table.add_row(str(hit["rank"]), *scores, *(escape(cell) for cell in cells))
    if result["hits"]:
        console.print(table)
    else:
        missing = "" if result["complete"] else ", and not all of them are in yet: run sensorium index again"
        console.print(
            f"nothing found: of {result['of']} items none has what is searched and meets --where{missing}", highlight=False
        )
    if result["words"]:
        console.print("in the order of meaning and words together, which is not that of the cosines", style="dim")
    for hit in result["hits"]:
        if hit.get("why"):
            near = "; ".join(f"{one['asked']} {one['cosine']:.2f} at {one['found']}" for one in hit["why"])
            console.print(f"{hit['rank']}. {escape(near)}", highlight=False, style="dim")
    problems.tell(console, "hits could not be read again", result["problems"])
    problems.tell_unknown(console, result["unknown_words"])
    if result["page"]:
        console.print(f"page: {escape(result['page'])}")


def model_place(collection: "Collection", model: str | None) -> str:
    """Where the model is that made a collection; `SensoriumError` where nobody knows, or nothing is there."""
    place = model or collection.model_path
    if place is None:
        raise SensoriumError("the collection does not know where its model is: say it with --model")
    if model is None and Path(place).is_absolute() and not Path(place).exists():
        raise SensoriumError(f"the model of this collection was at {place}, where there is nothing now: say where with --model")
    return place


def _own(by: tuple[str, ...]) -> dict[str, str | Path]:
    """kind -> file, of words KIND=FILE."""
    pairs = [word.partition("=") for word in by]
    for kind, equals, file in pairs:
        if not (kind and equals and file):
            raise WrongUsage(f"--by {kind}{equals}{file}: give KIND=FILE, such as depth=room.npy")
    return {kind: file if kind == "text" else Path(file) for kind, _, file in pairs}


def _found(
    collection: "Collection",
    model: "Model",
    given: dict[str, Any],
    k: int,
    only: tuple[Any, str | None],
    words: bool,
) -> list["Hit"]:
    """The hits of a query; a sum has to stand alone."""
    from sensorium.search import mixed, wording

    within, where = only
    if words:
        if set(given) != {"text"} or mixed.is_mixed(given["text"], model):
            raise SensoriumError("--words looks for a text alone: give words, and no file and no sum")
        hits = wording.query(wording.Wording(collection), model, given["text"], k, within, where)
    elif mixed.is_mixed(given.get("text", ""), model):
        if len(given) > 1:
            raise SensoriumError(f"a sum and --{next(kind for kind in given if kind != 'text')}: add it to the sum instead")
        hits = mixed.query(collection, model, given["text"], k, within, where)
    else:
        hits = collection.query(model, k=k, within=within, where=where, **_by_field(model, given))
    return hits


def terms_of(model: "Model", given: dict[str, Any]) -> list["Term"]:
    """The parts of a query, each with its weight."""
    from sensorium.search.mixed import Term, is_mixed, terms

    if is_mixed(given.get("text", ""), model):
        return terms(given["text"], model)
    return [Term(1.0, name, raw) for name, raw in _by_field(model, given).items()]


def _by_field(model: "Model", given: dict[str, Any]) -> dict[str, Any]:
    """The query by the model's fields: what is given of a kind goes to its first field of that kind."""
    fields = {field.kind: field.name for field in reversed(model.fields)}
    for kind in given:
        if kind not in fields:
            raise UnknownName(f"the model has no {kind} field.{nearest(kind, fields)}")
    return {fields[kind]: raw for kind, raw in given.items()}


def _beside(collection: str) -> Path:
    """Where the page of a collection goes: beside its folder; of one at an address or in memory, the current folder."""
    if "://" in collection or collection.startswith("memory:"):
        names = [name for name in collection.partition(":")[2].split("/") if name]
        return Path(f"{names[-1].replace(':', '-') if names else 'collection'}.html")
    named = Path(collection) if Path(collection).name else Path(collection).resolve()  # "." has no name
    return named.with_name(f"{named.name}.html")


def _answer(rank: int, hit: "Hit", matches: "Sequence[Match] | None") -> dict[str, Any]:
    names = ("id", "score", "field", "path", "caption", "metadata", "start", "end", "alike", "late")
    told = {"rank": rank} | {name: getattr(hit, name) for name in names}
    if matches is None:
        return told
    from sensorium.show.why import said

    return told | {"why": [one for match in matches for one in said(match, hit.start)]}


def _near(path: str | None) -> str:
    """A path as it is seen from here, where that is shorter."""
    if path is None:
        return ""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _write_page(
    collection: "Collection",
    model: "Model",
    given: dict[str, Any],
    hits: list["Hit"],
    path: Path,
    look: bool,
    matches: "dict[str, list[Match]]",
) -> None:
    from sensorium.show.gallery import QueryResult, Shown, shown, write_gallery
    from sensorium.show.why import drawn, marked, png

    picture = given.get("image") or _seen(model, given)
    asked = Shown(given.get("text", ""), picture, given.get("audio"), label=" + ".join(given))
    note = f"{len(hits)} of {len(collection)} items"
    cards = [shown(collection, hit) for hit in hits]
    for i, hit in enumerate(hits):
        for match in matches.get(hit.id, [])[:1]:  # of a sum, what its first part was found by
            figure = drawn(match, hit.start)
            cards[i] = replace(cards[i], why=None if figure is None else png(figure), marks=() if figure else marked(match))
    write_gallery([QueryResult(asked, cards, note)], path)
    if look:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())


def _seen(model: "Model", given: dict[str, Any]) -> bytes | None:
    """What is asked for as a picture (the frames of a clip), where its modality shows it as one."""
    from sensorium.modalities.picture_changes import jpeg

    shown = (f.show(f.prepare(given[f.kind])[f.name]) for f in model.fields if f.kind in given)
    return next((made for one in shown if (made := jpeg(one, 640))), None)
