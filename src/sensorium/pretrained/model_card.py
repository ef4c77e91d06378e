"""The card of a model (README.md) as the Hugging Face Hub shows it: what it is, how to load it, data, metrics and licence."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from sensorium.core.errors import need
from sensorium.core.files import read_json, write_text
from sensorium.pretrained.family import FAMILIES
from sensorium.pretrained.licence import CARD, Licence, licence_of

MARK = "<!-- Written by Sensorium, which replaces this card as long as this line is in it. -->"
RUN, METRICS = "run.json", "metrics.json"
TASKS: Mapping[frozenset[str], str] = {
    frozenset({"image", "text"}): "zero-shot-image-classification",
    frozenset({"audio", "text"}): "zero-shot-audio-classification",
    frozenset({"image"}): "image-feature-extraction",
}
WRITING: Mapping[frozenset[str], str] = {
    frozenset({"image"}): "image-to-text",
    frozenset({"image", "text"}): "visual-question-answering",
    frozenset({"audio"}): "automatic-speech-recognition",
}
"""What the Hub calls what a model of these kinds of fields is for, and one that writes about them; "feature-extraction" and
"text-generation" for all others."""
MAKING: Mapping[tuple[str, str], str] = {
    ("text", "image"): "text-to-image",
    ("text", "audio"): "text-to-audio",
    ("text", "video"): "text-to-video",
}
"""And one that makes things of the second kind from those of the first; "any-to-any" for all others."""
LOADING: Mapping[str, str] = {
    "transformers": "from transformers import AutoProcessor, {architecture}  # the layout is that of transformers\n"
    'model, processor = {architecture}.from_pretrained("{name}"), AutoProcessor.from_pretrained("{name}")',
    "open_clip": "import open_clip  # the layout is its own\n"
    'model, _, process = open_clip.create_model_and_transforms("hf-hub:{name}")  # local-dir:… for a directory',
    "sentence-transformers": "from sentence_transformers import SentenceTransformer  # the layout is its own\n"
    'vectors = SentenceTransformer("{name}").encode(["a text"])',
}


@dataclass(frozen=True)
class Origin:
    """Where a model comes from: `name` as it was asked for, "" for one that was made here; the `folder` that was read; the
    `licence` that its card states. `published`: the name is an id of the Hub, so that cards can say what they are based on."""

    name: str = ""
    folder: Path | None = None
    licence: Licence = field(default_factory=Licence)
    published: bool = False


USES = {
    frozenset({"audio"}): 'text = s.transcribe("talk.wav")',
    frozenset({"image"}): '(text,) = s.caption("photo.jpg")',
    frozenset({"image", "text"}): '(answer,) = s.ask("photo.jpg", "what is it?")',
}
"""What is done with a model that writes, by the kinds of the fields that it encodes."""


@dataclass(frozen=True)
class About:
    """What a card is written of: the kinds of the fields that a model encodes, and whether it `writes` about them; how many
    parameters it has; of which family and for which library it is ("" and "sensorium" for a model of the house); where it comes
    from; and of what fields it `makes` things."""

    kinds: Sequence[str]
    parameters: int
    family: str = ""
    library: str = "sensorium"
    origin: Origin = Origin()
    writes: bool = False
    makes: Sequence[str] = ()


def write_card(folder: Path, about: About, licence: str | None = None) -> None:
    """Writes the README.md of a model. One that somebody else wrote is left as it is.

    `licence`: an id such as "mit"; by default that of the model that this one was loaded from. Metrics and data are those of the
    run in `folder`, or in the folder that the model was loaded from.
    """
    path = folder / CARD
    if path.is_file() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        if licence:
            told = f"{path}: a card that somebody else wrote stays as it is, without the licence {licence!r}: write it there"
            warnings.warn(told, stacklevel=2)
        return
    run, metrics = (_beside(name, folder, about.origin.folder) for name in (RUN, METRICS))
    said = Licence(licence) if licence else about.origin.licence
    if not said.id:
        said = _inherited(_begun(run))
    text = card(folder.resolve().name, about, said, run, metrics)
    write_text(path, text.replace("{architecture}", _architecture(folder)))


def library_of(folder: Path, layout: str) -> str:
    """The library whose layout a model in `folder` has, as the Hub calls it; `layout` is "sensorium" or the name of a family."""
    if layout not in FAMILIES:
        return layout
    return "sentence-transformers" if (folder / "modules.json").is_file() else FAMILIES[layout].library


def rename(folder: Path, name: str) -> None:
    """Puts the id under which a model is published in the place of its folder's name, in the card that was written there."""
    path = folder / CARD
    before = folder.resolve().name
    text = path.read_text(encoding="utf-8")
    for mark in ('"{}"', '"hf-hub:{}"', "\n# {}\n"):
        text = text.replace(mark.format(before), mark.format(name))
    write_text(path, text)


def card(name: str, about: About, licence: Licence, run: Mapping[str, Any], metrics: Mapping[str, float]) -> str:
    """The text of a card; `name` stands for the model until it is published."""
    base = _base(about.origin, run)
    parts = [f"# {name}", _what(about, base), _loading(name, about), _data(run), _metrics(metrics), _licence(licence), MARK]
    return f"---\n{_front(name, about, base, licence, metrics)}\n---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def _front(name: str, about: About, base: str, licence: Licence, metrics: Mapping[str, float]) -> str:
    hub = need("huggingface_hub", "hub", "writing a model card")
    results = [
        hub.EvalResult(
            task_type="retrieval",
            dataset_type="own",
            dataset_name="items kept for validation",
            metric_type="recall",
            metric_name=f"{direction} recall@{k}",
            metric_value=value,
        )
        for direction, found in _directions(metrics).items()
        for k, value in sorted(found.items())
    ]
    data = hub.ModelCardData(
        library_name=about.library,
        license=licence.id or None,
        license_name=licence.name or None,
        license_link=licence.link or None,
        base_model=base or None,
        pipeline_tag=_task(about),
        tags=["sensorium", "multimodal" if len(about.kinds) > 1 else about.kinds[0], *([about.family] if about.family else [])],
        model_name=name if results else None,
        eval_results=results or None,
        metrics=["recall"] if results else None,
    )
    return data.to_yaml()


def remove_card(folder: Path) -> None:
    """Removes the card that Sensorium wrote in a folder, if there is one."""
    path = folder / CARD
    if path.is_file() and MARK in path.read_text(encoding="utf-8", errors="replace"):
        path.unlink()


def _begun(run: Mapping[str, Any]) -> str:
    """The directory or the id of the model that a run began with; "" for none."""
    begun = run.get("arguments", {}).get("init")
    return begun if isinstance(begun, str) else ""


def _inherited(begun: str) -> Licence:
    """The licence of what a run began with: as a directory, in the cache of Hugging Face, or by what is known of its id."""
    if not begun or Path(begun).is_dir():
        return licence_of(Path(begun), begun) if begun else Licence()
    if Path(begun).is_absolute():  # a directory that is gone by now
        return Licence()
    hub = need("huggingface_hub", "hub", "writing a model card")
    path = hub.try_to_load_from_cache(begun, CARD)
    return licence_of(Path(path).parent if isinstance(path, str) else Path(begun), begun)


def _task(about: About) -> str:
    if about.makes:
        alone = len(about.kinds) == len(about.makes) == 1
        return MAKING.get((about.kinds[0], about.makes[0]), "any-to-any") if alone else "any-to-any"
    kinds = frozenset(about.kinds)
    return WRITING.get(kinds, "text-generation") if about.writes else TASKS.get(kinds, "feature-extraction")


def _architecture(folder: Path) -> str:
    """The class of transformers that config.json names."""
    path = folder / "config.json"
    said = read_json(path) if path.is_file() else {}
    asked = said.get("architectures") if isinstance(said, dict) else None
    return str(asked[0]) if isinstance(asked, list) and asked else "AutoModel"


def _base(origin: Origin, run: Mapping[str, Any]) -> str:
    """The id of what this model began as, "" where that is nothing on the Hub."""
    begun = _begun(run)
    if begun.count("/") == 1 and not begun.startswith((".", "/", "~")) and not Path(begun).exists():
        return begun
    return origin.name if origin.published else ""


def _what(about: About, base: str) -> str:
    kinds = ", ".join(about.kinds)
    what = "A writer about" if about.writes else "A shared space of" if len(about.kinds) > 1 else "An encoder of"
    what = f"A maker of {', '.join(about.makes)} from" if about.makes else what
    of = f"of the family {about.family}" if about.family else "of Sensorium"
    begun = f" It began as [{base}](https://huggingface.co/{base})." if base else ""
    return f"{what} {kinds}: a model {of} with {about.parameters / 1e6:.1f} million parameters.{begun}"


def _loading(name: str, about: About) -> str:
    given = ", ".join(f"{kind}=[…]" for kind in about.kinds)
    use = f"vectors = s.encode({given})  # for each a float32 array of unit vectors"
    if about.writes:
        use = USES.get(frozenset(about.kinds), use)
    if about.makes:
        use = f'made = s.generate("{about.makes[0]}", {about.kinds[0]}=…, n=4, seed=1)'
    lines = [
        "```python",
        'import sensorium  # pip install "sensorium[hub]"',
        f's = sensorium.load("{name}")  # a directory, or the id of a repository of the Hub',
        use,
        "```",
    ]
    if about.library in LOADING:
        lines += ["", "or without it:", "", "```python", LOADING[about.library].replace("{name}", name), "```"]
    return "## How to load it\n\n" + "\n".join(lines)


def _data(run: Mapping[str, Any]) -> str:
    if not run:
        return ""
    arguments = dict(run.get("arguments", {}))
    path = arguments.pop("path", None)  # names only: where it lies on the machine that trained it is nobody's business
    names = [PurePath(str(one).rstrip("/\\")).name for one in (path if isinstance(path, list) else [path]) if one]
    told = ", ".join(f"{key} {arguments[key]}" for key in ("steps", "batch", "lr", "seed") if arguments.get(key) is not None)
    source = f"`{'`, `'.join(names)}`" if names else "what the recipe makes itself"
    lines = [f"Trained by the recipe `{run.get('recipe')}` on {source} ({told})."]
    lines += [f"Left out: {len(left)} kinds of things, which run.json tells." for left in [run.get("left_out")] if left]
    versions = ", ".join(f"{name} {number}" for name, number in run.get("versions", {}).items())
    return "## Data and training\n\n" + "\n".join(lines + ([f"Versions: {versions}."] if versions else []))


def _metrics(metrics: Mapping[str, float]) -> str:
    if not (rows := _directions(metrics)):
        return ""
    ks = sorted({k for found in rows.values() for k in found})
    lines = ["| direction | " + " | ".join(f"recall@{k}" for k in ks) + " | among | by chance @1 |", "|---" * (len(ks) + 3) + "|"]
    for direction, found in rows.items():
        shares = " | ".join(f"{found[k]:.3f}" for k in ks)
        gallery, chance = (metrics.get(f"{direction}/{name}", float("nan")) for name in ("gallery", "recall@1/chance"))
        lines.append(f"| {direction} | {shares} | {gallery:.0f} | {chance:.3f} |")
    return "## Metrics\n\nRetrieval over items that were kept apart from training:\n\n" + "\n".join(lines)


def _directions(metrics: Mapping[str, float]) -> dict[str, dict[int, float]]:
    """direction -> k -> recall@k, of what `run.evaluate` gives."""
    out: dict[str, dict[int, float]] = {}
    for key, value in metrics.items():
        direction, _, rest = key.partition("/")
        if rest.startswith("recall@") and "/" not in rest:
            out.setdefault(direction, {})[int(rest.removeprefix("recall@"))] = value
    return out


def _licence(licence: Licence) -> str:
    if not licence.id:
        return "## Licence\n\nNone is stated. Say one before you publish the model: `license:` in the first lines of this card."
    link = f" ({licence.link})" if licence.link else ""
    warning = "" if licence.commercial else " It does not allow commercial use."
    return f"## Licence\n\n{licence}{link}.{warning}"


def _beside(name: str, *folders: Path | None) -> dict[str, Any]:
    """The JSON of a run in the first of some folders that has it."""
    found = next((folder / name for folder in folders if folder is not None and (folder / name).is_file()), None)
    said = read_json(found) if found else {}
    return said if isinstance(said, dict) else {}
