"""What the demo has to say, as a report."""

import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sensorium.core.protocols import Item
from sensorium.data import Health
from sensorium.metrics import ranks
from sensorium.run import Run
from sensorium.search import Collection
from sensorium.sensorium import Sensorium
from sensorium.show import (
    Confusion,
    Contrast,
    DirectionRow,
    Headline,
    QueryResult,
    Report,
    Sheet,
    Shown,
    SimilarityMap,
    SplitTable,
    shown,
    write_report,
)

KS = (1, 5, 10)
MAP_ITEMS, HEAT_ITEMS, HITS, CONFUSIONS = 150, 12, 5, 4


def write(
    path: Path,
    run: Run,
    metrics: dict[str, Any],
    health: dict[str, Health],
    collection: Collection,
    sheets: Sequence[Sheet] = (),
) -> None:
    """Writes the report of a run on the built-in world, with sheets of what models made, if any."""
    items = health["validation"].good
    report = Report(
        title="One space for pictures, words and sounds",
        command=metrics["command"],
        summary=(
            "A model was trained from nothing on scenes of the built-in world, each shown as a picture, said as a sentence and "
            "played as a sound. Here is how well it finds each by each other among scenes that it never saw."
        ),
        facts=_facts(run, metrics),
        headlines=_headlines(metrics),
        history=[record for record in run.history if record["step"]],
        splits=[
            _split("Scenes never seen", "No scene of this gallery was trained on.", metrics, ""),
            _split(
                "Combinations never seen",
                "Every scene holds a shape in a colour that training never showed it in.",
                metrics,
                "compositional/",
            ),
        ],
        similarity=_similarity(run.sensorium, items[:HEAT_ITEMS]),
        embedding=_vectors(run.sensorium, items[:MAP_ITEMS]),
        queries=_queries(run.sensorium, items, collection),
        confusions=_confusions(run.sensorium, items),
        sheets=list(sheets),
        contrasts=[
            Contrast(
                "colours exchanged",
                metrics["hard_negatives/accuracy"],
                metrics["hard_negatives/accuracy/low"],
                metrics["hard_negatives/accuracy/high"],
                metrics["hard_negatives/pairs"],
                note="“a red circle above a blue square” against “a blue circle above a red square”, for the first one's picture",
            )
        ],
    )
    write_report(report, path)


def _facts(run: Run, metrics: dict[str, Any]) -> dict[str, str]:
    arguments = metrics["arguments"]
    parameters = sum(leaf.size for leaf in run.sensorium.parameters())
    return {
        "trained": f"{arguments['steps']} steps of {arguments['batch']} scenes; {arguments['missing']:.0%} lack a modality",
        "time": f"{metrics['seconds/train']:.0f} s, and {metrics['seconds/compile']:.1f} s to compile",
        "parameters": f"{parameters / 1e6:.2f} million, {arguments['width']}-dimensional space",
        "seed": str(arguments["seed"]),
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": ", ".join(f"{name} {version}" for name, version in metrics["versions"].items()),
    }


def _headlines(metrics: dict[str, Any]) -> list[Headline]:
    gallery = int(metrics["image->audio/gallery"])
    chance = f"first of {gallery:,}; chance {metrics['image->audio/recall@1/chance']:.1%}"
    return [
        Headline("picture found by words", f"{metrics['text->image/recall@1']:.1%}", chance),
        Headline("sound found by picture", f"{metrics['image->audio/recall@1']:.1%}", chance),
        Headline("new combinations, by words", f"{metrics['compositional/text->image/recall@1']:.1%}", chance),
        Headline("who is above whom", f"{metrics['hard_negatives/accuracy']:.1%}", "of two sentences; chance 50 %"),
    ]


def _split(name: str, note: str, metrics: dict[str, Any], prefix: str) -> SplitTable:
    directions = [
        key.removeprefix(prefix).split("/")[0]
        for key in metrics
        if key.startswith(prefix) and "->" in key.removeprefix(prefix).split("/")[0]
    ]
    rows = []
    for direction in dict.fromkeys(directions):
        start = f"{prefix}{direction}"
        by_k = {part: {k: metrics[f"{start}/recall@{k}{part}"] for k in KS} for part in ("", "/low", "/high", "/chance")}
        rows.append(
            DirectionRow(
                direction=direction.replace("->", " → "),
                gallery=int(metrics[f"{start}/gallery"]),
                recall=by_k[""],
                low=by_k["/low"],
                high=by_k["/high"],
                median_rank=metrics[f"{start}/median_rank"],
                chance=by_k["/chance"],
            )
        )
    return SplitTable(name, note, rows)


def _vectors(model: Sensorium, items: Iterable[Item]) -> dict[str, np.ndarray]:
    """The first raw thing of each field of some complete items, embedded."""
    items = list(items)
    return {f.name: model.encode(**{f.name: [item.raws[f.kind][0] for item in items]})[f.name] for f in model.fields}


def _similarity(model: Sensorium, items: Iterable[Item]) -> SimilarityMap:
    items = list(items)
    z = _vectors(model, items)
    captions = [item.raws["text"][0] for item in items]
    labels = [caption if len(caption) < 46 else f"{caption[:44]} …" for caption in captions]
    pictures = [f"picture {item.id}" for item in items]
    return SimilarityMap(
        model.similarity(z["text"], z["image"]), labels, pictures, "Captions against pictures; the diagonal belongs together."
    )


def _queries(model: Sensorium, items: tuple[Item, ...], collection: Collection) -> list[QueryResult]:
    """A search by words, by a picture and by a sound, each for a scene of the collection."""
    picked = [next(item for item in items if len(item.raws["text"][0].split(" and ")) == n) for n in (1, 2, 3)]
    out = []
    for item, kind in zip(picked, ("text", "image", "audio"), strict=True):
        raw = item.raws[kind][0]
        hits = collection.query(model, k=HITS, **{kind: raw})
        given = {"text": {"caption": raw}, "image": {"picture": raw}, "audio": {"sound": raw}}[kind]
        found = [_marked(shown(collection, hit), hit.id == item.id) for hit in hits]
        name = {"text": "by words", "image": "by a picture", "audio": "by a sound"}[kind]
        out.append(
            QueryResult(
                Shown(label=name, **given),
                found,
                f"Searched among the {' and '.join(_others(model, kind))} of {len(collection)} scenes.",
            )
        )
    return out


def _others(model: Sensorium, kind: str) -> list[str]:
    plural = {"text": "captions", "image": "pictures", "audio": "sounds"}
    return [plural[field.kind] for field in model.fields if field.kind != kind]


def _marked(one: Shown, correct: bool) -> Shown:
    return Shown(one.caption, one.picture, one.sound, one.score, one.label, correct)


def _confusions(model: Sensorium, items: tuple[Item, ...]) -> list[Confusion]:
    """The captions whose picture is ranked lowest, and the picture that was ranked first."""
    z = model.encode(text=[item.raws["text"][0] for item in items], image=[item.raws["image"][0] for item in items])
    scores = model.similarity(z["text"], z["image"])
    places = ranks(scores, np.eye(len(items), dtype=bool))
    out = []
    for row in np.argsort(-places, kind="stable")[:CONFUSIONS]:
        best = scores[row].argmax()
        if best == row:
            break
        query, got = items[row], items[best]
        out.append(
            Confusion(
                Shown(query.raws["text"][0], label="text query"),
                Shown(picture=query.raws["image"][0], score=float(scores[row, row]), label=f"{query.id}, at rank {places[row]}"),
                Shown(
                    got.raws["text"][0], picture=got.raws["image"][0], score=float(scores[row, best]), label=f"{got.id}, first"
                ),
            )
        )
    return out
