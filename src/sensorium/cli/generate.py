"""`sensorium generate`: pictures, sounds, clips, traces and texts out of what is said, shown or played."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from sensorium.cli import problems
from sensorium.cli.main import WrongUsage, as_usage
from sensorium.core.errors import SensoriumError

if TYPE_CHECKING:
    from rich.console import Console

    from sensorium.core.protocols import Modality
    from sensorium.sensorium import Sensorium
else:
    Console = Modality = Sensorium = Any

EXAMPLE = """sensorium generate "a small red circle above a large blue square" --model runs/pictures --out out.png -n 8
sensorium generate --from-audio tone.wav --to image --model runs/anything --out seen.png
sensorium generate --read out-1.png"""
File = Path | None
MOST = 100_000
"""Things at once."""


def generate(
    prompt: tyro.conf.Positional[str | None] = None,
    *,
    model: str | None = None,
    to: str | None = None,
    out: File = None,
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 1,
    from_image: File = None,
    from_audio: File = None,
    from_video: File = None,
    from_sensor: File = None,
    without: list[str] | None = None,
    weights: list[str] | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    sampler: str | None = None,
    temperature: float | None = None,
    as_told: bool = False,
    seed: int = 0,
    sheet: File = None,
    overwrite: bool = False,
    read: File = None,
) -> dict:
    """Make pictures, sounds, clips, traces or texts out of what is said, shown or played; or read how a file was made.

    Args:
        prompt: What is to be made, in words.
        model: A model that makes things: its folder, or the id of its repository; by default the newest in runs/ that can.
        to: What is made: image, audio, video, sensor or text; by default what the name of the file says, or the one thing that
            the model makes.
        out: The file that is written: .png, .wav, .mp4 or .gif, .csv, .txt. Of several things, out-1.png, out-2.png, … Without
            it texts are printed.
        n: How many things are made, each from a seed of its own.
        from_image: A picture to go by.
        from_audio: A sound to go by.
        from_video: A clip to go by.
        from_sensor: A trace of a sensor to go by.
        without: Texts whose meaning is taken away from that of the others (of a model with a space).
        weights: What each of several sources counts, such as text=1 audio=0.5 (of a model with a space).
        steps: Steps from noise to the thing, by default as many as the model says; more are slower, and better only of a
            model that was made for it.
        guidance: How far to go towards what is asked for, by default as far as the model says; 1: as learned, 0: whatever it is.
        sampler: euler, heun, ddim or dpm++.
        temperature: Of texts: how freely words are drawn; by default the likeliest are taken. Of other things: how much noise
            they are begun with, from 0, as expected, to 1, as various as they are.
        as_told: Make what the prompt says, word by word: it is a plan, in all words of one. Otherwise a model that has learned
            to plan writes out first, for each thing, what is where; the plan stands in the note of its file.
        seed: The same seed, the same files.
        sheet: Write one picture of all pictures or clips here, a .png; without --out nothing else is written.
        overwrite: Replace files that are there.
        read: Make nothing: say how this file was made.
    """
    if read is not None:
        others = {"a prompt": prompt, "--model": model, "--to": to, "--out": out, "--sheet": sheet}
        if asked := [name for name, x in others.items() if x is not None]:
            raise WrongUsage(f"--read {read} makes nothing, and {' and '.join(asked)} would: which of them?")
        return _said(read)
    import sensorium
    from sensorium.cli import device, usual
    from sensorium.data.ready import listed

    start = time.perf_counter()
    sources = {"text": prompt, "image": from_image, "audio": from_audio, "video": from_video, "sensor": from_sensor}
    given = {kind: raw for kind, raw in sources.items() if raw is not None}
    if not given and not without:
        raise WrongUsage("from what? Give a text, --from-image, --from-audio, --from-video or --from-sensor")
    model = usual.model_for(
        "generate", model, [*given, *(["text"] if without and "text" not in given else [])], to or _kind(out or sheet)
    )
    device.prepare()
    loaded = sensorium.load(model)
    field = _target(loaded, to or (_kind(out) if len(loaded.making.model.targets) > 1 else None))
    how = _how(field.name, loaded.making.how(field.name), steps, guidance, sampler, temperature)
    if field.kind == "text" and n > 1 and how.temperature == 0:
        raise WrongUsage(f"-n {n}: one text is the likeliest. Give --temperature 1 to draw several")
    files = _files(out, sheet, n, field, overwrite, [raw for kind, raw in given.items() if kind != "text"])
    told = {name: listed(raw) for name, raw in _told(loaded, given, without or [], weights or []).items()}
    plans = _plans(loaded, field.name, told, n, seed, as_told)
    made = _made(loaded, field, told if plans is None else plans, n if plans is None else 1, how, seed)
    plans = [] if plans is None else [{"plan": plan} for plan in next(iter(plans.values()))]
    note = _note(loaded, model, field, given, {"without": without, "weights": weights}, seed, how)
    for number, (path, thing, plan) in enumerate(zip(files, made, plans or [{}] * len(made), strict=bool(files)), 1):
        _write(field, thing, path, {**note, **plan, "number": number})
    if sheet is not None:
        _write_sheet(made, field, sheet, note)
    texts = {"texts": made} if field.kind == "text" else {}
    wrote = [str(path) for path in files]
    said = {"target": field.name, "model": model, **texts, "files": wrote, "sheet": str(sheet) if sheet else None}
    said |= {"plans": [plan["plan"] for plan in plans]} if plans else {}
    said["unknown_words"] = _unknown(loaded, told)
    return said | {"note": note, "seconds": round(time.perf_counter() - start, 2)}


def show(result: dict, console: "Console") -> None:
    if "software" in result:  # what was read
        for key, value in result.items():
            print(f"{key}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
        return
    files, plans = result["files"], result.get("plans", [])
    for line in files or result.get("texts") or plans:  # of a sheet alone there are no files
        print(line)
        if files and plans:
            console.print(f"  {plans[files.index(line)]}", style="dim", highlight=False, soft_wrap=True)
    if result["sheet"]:
        print(result["sheet"])
    problems.tell_unknown(console, result["unknown_words"])


def _unknown(loaded: "Sensorium", told: Mapping[str, Sequence[Any]]) -> list[str]:
    """The words of what is told that the model never learned."""
    from sensorium.modalities.text import unknown_words
    from sensorium.models.mix import parts_of

    return unknown_words((loaded.field(name), raw) for name, things in told.items() for _, raw, _ in parts_of(things))


def _said(path: Path) -> dict:
    from sensorium.modalities.kept import provenance

    return provenance(path)


def _how(name: str, usual: Any, steps: int | None, guidance: float | None, sampler: str | None, temperature: float | None) -> Any:
    """The usual `Drawing` or `Sampling` of the field `name`, but for the dials that are given; `WrongUsage` for those that
    cannot be."""
    from sensorium.decoders import Drawing

    dials = {"steps": steps, "guidance": guidance, "sampler": sampler, "temperature": temperature}
    given = {key: x for key, x in dials.items() if x is not None}
    known = [key for key in dials if isinstance(usual, Drawing) or key == "temperature"]
    if other := [key for key in given if key not in known]:
        expected = ", ".join(f"--{key}" for key in known)
        raise WrongUsage(f"--{other[0]}: not of {name}, which this model makes by {expected}")
    with as_usage():
        return replace(usual, **given)


def _kind(out: File) -> str | None:
    """The kind of thing that a file holds, by its suffix; None where that says nothing."""
    from sensorium.modalities.kept import WRITERS

    return None if out is None else next((kind for kind, end in WRITERS if end == out.suffix.lower()), None)


def _target(loaded: "Sensorium", to: str | None) -> "Modality":
    """The field that is made, by its name or, where there is one such, by its kind."""
    making = loaded.making
    kinds = {loaded.field(name).kind: name for name in making.model.targets}
    return making.target(to if to in making.model.targets else kinds.get(to or "", to))


def _told(loaded: "Sensorium", given: Mapping[str, Any], without: Sequence[str], weights: Sequence[str]) -> dict[str, Any]:
    """What is given of each field, weighed; by the kinds of the fields that the model reads."""
    from sensorium.models import AnyToAny
    from sensorium.models.mix import Mix

    fields = {loaded.field(name).kind: name for name in loaded.making.model.reads}
    wanted = [*given, *(["text"] if without else [])]
    if other := [kind for kind in wanted if kind not in fields]:
        raise SensoriumError(f"this model is told of things by {', '.join(fields)}, not by {other[0]}")
    counts = dict(counted := [_weight(said, given) for said in weights])
    if len(counts) < len(counted):
        raise WrongUsage(f"--weights {' '.join(weights)}: expected each source once")
    if (without or counts) and not isinstance(loaded.making.model, AnyToAny):
        raise WrongUsage(
            f"--{'without' if without else 'weights'}: this model reads word by word, and has no space in which meanings are "
            "added: sensorium learn anything makes one that has"
        )
    parts = {kind: [(raw, counts.get(kind, 1.0))] for kind, raw in given.items()}
    if without:
        parts.setdefault("text", []).extend((text, -1.0) for text in without)
    return {fields[kind]: own[0][0] if own[0][1] == 1 and len(own) == 1 else Mix(*own) for kind, own in parts.items()}


def _weight(said: str, given: Mapping[str, Any]) -> tuple[str, float]:
    kind, _, number = said.partition("=")
    try:
        value = float(number)
    except ValueError:
        raise WrongUsage(f"--weights {said}: expected a source and a number, such as audio=0.5") from None
    if kind not in given:
        raise WrongUsage(f"--weights {said}: there is no such source, given are {', '.join(given) or 'none'}")
    return kind, value


def _files(out: File, sheet: File, n: int, field: "Modality", overwrite: bool, sources: Sequence[Path]) -> list[Path]:
    """The files that will be written, none of them one of the `sources`; looked at before anything is made."""
    from sensorium.cli.place import folder
    from sensorium.modalities.kept import BESIDE, notes_within, suffixes

    if not 1 <= n <= MOST:
        raise WrongUsage(f"-n {n}: expected from 1 to {MOST:,}")
    if named := next((path for path in (out, sheet) if path is not None and path.is_dir()), None):
        option, own = ("--out", next(iter(suffixes(field)), ".png")) if named == out else ("--sheet", ".png")
        raise WrongUsage(f"{option} {named}: this is a folder: name a file in it, such as {named / f'out{own}'}")
    if out is None and field.kind != "text" and sheet is None:
        raise WrongUsage(f"give --out: the file for what is made, such as out{next(iter(suffixes(field)), '.png')}")
    if out is not None and out.suffix.lower() not in suffixes(field):
        known = ", ".join(suffixes(field)) or "no file that is known here"
        raise WrongUsage(f"--out {out}: {field.name} is kept in {known}")
    if sheet is not None and (field.kind not in ("image", "video") or sheet.suffix.lower() != ".png"):
        raise WrongUsage(f"--sheet {sheet}: a sheet is a .png of pictures or clips, and this is {field.name}")
    files = [] if out is None else [out] if n == 1 else [out.with_stem(f"{out.stem}-{i + 1}") for i in range(n)]
    notes = [Path(f"{path}{BESIDE}") for path in files if not notes_within(path.suffix.lower())]
    every = files + notes + ([sheet] if sheet else [])
    if there := [path for path in every if path.exists() and not overwrite]:
        raise SensoriumError(f"{there[0]} is there: give another name, or --overwrite to replace it")
    asked = {path.resolve() for path in sources}
    if mine := [path for path in every if path.resolve() in asked]:
        raise WrongUsage(f"{mine[0]}: what is made would replace what it is made from: give another name")
    if twice := [path for path in files if sheet is not None and path.resolve() == sheet.resolve()]:
        raise WrongUsage(f"--sheet {twice[0]}: this is one of the pictures themselves: give another name")
    for path in every:
        folder(path.parent)
    return files


def _plans(
    loaded: "Sensorium", target: str, told: Mapping[str, list[Any]], n: int, seed: int, as_told: bool
) -> dict[str, list[Any]] | None:
    """What takes the place of what is told: a plan for each of `n` things, or, `as_told`, the prompt for all of them. None of a
    model that plans nothing."""
    making = loaded.making
    if not as_told:
        with _plainly():
            return making.planned(loaded.parameters(), told, target, n, seed)
    if making.plan is None or not making.plans(target):
        raise WrongUsage("--as-told: nothing is planned before this is made, it is made as it is told anyway")
    prompts = [prompt for prompts in told.values() for prompt in prompts]
    if any(loaded.field(name).kind != "text" for name in told) or not all(isinstance(prompt, str) for prompt in prompts):
        raise WrongUsage("--as-told: a plan is said in words alone, without other sources, --without or --weights")
    if not all(prompt.strip() for prompt in prompts):
        raise WrongUsage("--as-told: an empty plan: say what is to be made")
    return {making.plan: [prompt for prompt in prompts for _ in range(n)]}


def _made(loaded: "Sensorium", field: "Modality", told: Mapping[str, Any], n: int, how: Any, seed: int) -> list[Any]:
    """The things themselves, with a bar."""
    from sensorium.cli.progress import progress

    with progress() as bar:
        row = bar.add_task("sampling, steps", total=None, text="")
        with _plainly():
            return loaded.generate(
                field.name,
                n=n,
                how=how,
                seed=seed,
                progress=lambda done, total: bar.update(row, completed=done, total=total),
                **told,
            )


@contextmanager
def _plainly() -> Iterator[None]:
    """What is wrong with what was asked for, as words and not as a traceback."""
    try:
        yield
    except SensoriumError:
        raise
    except ValueError as error:
        raise SensoriumError(str(error)) from error


def _note(
    loaded: "Sensorium", model: str, field: "Modality", given: Mapping[str, Any], more: Mapping[str, Any], seed: int, how: Any
) -> dict[str, Any]:
    """What is said of how a file was made: nothing of when or where, so that it is the same everywhere."""
    from sensorium import __version__
    from sensorium.core.files import sha256

    files = {kind: {"file": raw.name, "sha256": sha256(raw)} for kind, raw in given.items() if kind != "text"}
    called = Path(model).resolve().name if Path(model).exists() else model
    note: dict[str, Any] = {"software": f"Sensorium {__version__}", "prompt": given.get("text"), "from": files or None}
    note |= {**more, "to": field.name, "seed": seed}
    note |= asdict(how)
    note |= {"model": called, "fingerprint": loaded.fingerprint}
    return {key: value for key, value in note.items() if value is not None}


def _write(field: "Modality", thing: Any, path: Path, note: Mapping[str, Any]) -> None:
    from sensorium.core.files import replacing, write_text
    from sensorium.modalities.kept import BESIDE, kept, notes_within
    from sensorium.modalities.noted import text_of

    content = kept(field, thing, path.suffix.lower(), note)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    if not notes_within(path.suffix.lower()):
        write_text(f"{path}{BESIDE}", text_of(note) + "\n")


def _write_sheet(made: Sequence[Any], field: "Modality", path: Path, note: Mapping[str, Any]) -> None:
    from PIL import Image as Pillow

    from sensorium.modalities import Image
    from sensorium.show.sheet import sheet

    if field.kind == "image":
        return _write(Image(), sheet(made), path, note)
    frames = [Pillow.fromarray(frame) for clip, _ in made for frame in clip]
    _write(Image(), sheet(frames, columns=len(made[0][0])), path, note)  # a clip a row
