"""The entry of the command line: finds the verb, lets tyro read its arguments, prints what came out.

Exit codes: 0 fine; 1 an error that a person can act on, said in one line; 2 wrong usage. A verb's file is imported only
when the verb is called, so that `--help` needs neither jax nor any other heavy library.
"""

import importlib
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial, wraps
from inspect import cleandoc
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from sensorium import __version__
from sensorium.core.errors import SensoriumError, SensoriumWarning, nearest


class Verb(NamedTuple):
    """A line of `sensorium --help`; the verb itself is the function of the same name in `sensorium.cli.<name>`."""

    summary: str
    example: str


VERBS = {
    "demo": Verb("train on the built-in world, search it, and write a report", "sensorium demo --quick"),
    "data": Verb("say what a folder holds, what is wrong with it, and make a clean copy", "sensorium data check photos/"),
    "train": Verb("train a shared space on a folder", "sensorium train photos/ --out runs/photos"),
    "learn": Verb("learn the built-in world by a recipe", "sensorium learn pictures --out runs/pictures"),
    "probe": Verb(
        "learn labels from a model that stays as it is", "sensorium probe photos/ --model runs/photos --out runs/kinds"
    ),
    "join": Verb(
        "make one space of two by texts alone", "sensorium join runs/photos runs/sounds --texts words.txt --out runs/both"
    ),
    "index": Verb("make a folder searchable", "sensorium index photos/ --model runs/photos --out photos.collection"),
    "embed": Verb(
        "embed many items in shards: in processes, on Ray or SLURM",
        "sensorium embed photos/ --model runs/photos --out photos.shards",
    ),
    "search": Verb("search a collection by text, picture or sound", 'sensorium search photos.collection "a red bicycle" -k 5'),
    "serve": Verb(
        "search a collection in the browser, and by a JSON API", "sensorium serve runs/photos --collection photos.collection"
    ),
    "collection": Verb(
        "say what a collection holds, move it, or write it as files", "sensorium collection info photos.collection"
    ),
    "models": Verb("say which published models are known, and what one is", "sensorium models openai/clip-vit-base-patch32"),
    "convert": Verb("write a model in another layout or type", "sensorium convert runs/photos photos-clip --family clip"),
    "runs": Verb("say how far runs have come, and whether two are the same to the last bit", "sensorium runs list runs/"),
    "evaluate": Verb("measure retrieval on a folder, in all directions", "sensorium evaluate runs/photos photos/"),
    "transcribe": Verb(
        "write down what is said in a sound or a video", "sensorium transcribe talk.wav --model openai/whisper-tiny"
    ),
    "caption": Verb(
        "say what pictures, sounds and clips hold", "sensorium caption photo.png --model Salesforce/blip-image-captioning-base"
    ),
    "ask": Verb("answer a question about a picture", 'sensorium ask photo.png "what is it?" --model Salesforce/blip-vqa-base'),
    "describe": Verb("describe a picture to somebody who cannot see it", "sensorium describe photo.png --model runs/captions"),
    "summarize": Verb("say what happens in a clip, and when", "sensorium summarize clip.mp4 --model runs/watcher"),
    "generate": Verb(
        "make pictures, sounds, clips or texts of what is said or shown",
        'sensorium generate "a red ring in the centre" --model runs/pictures --out out.png',
    ),
}


USED: list[Path] = []
"""The files of `--use`, which processes that a verb starts have to import too."""


class WrongUsage(Exception):
    """The arguments make no call; the text says why. Exit code 2."""


@contextmanager
def as_usage() -> Iterator[None]:
    """What is wrong with a dial that is given is wrong usage."""
    try:
        yield
    except ValueError as error:
        raise WrongUsage(str(error)) from error


def main(argv: list[str] | None = None) -> int:
    """Runs `sensorium <argv>` and returns its exit code; an exception that gets out of here is a bug of ours."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    machine = "--json" in arguments[:end]
    arguments = [a for i, a in enumerate(arguments) if i >= end or a != "--json"]
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warned
            code = _guard(arguments, machine)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader (`head`, a pager) has left: nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def overview() -> str:
    """The text of `sensorium --help`."""
    width = max(map(len, VERBS))
    verbs = [f"  {name:{width}}  {verb.summary}\n  {'':{width}}  $ {verb.example}" for name, verb in VERBS.items()]
    return "\n".join(
        [
            f"sensorium {__version__}: learning across senses. One shared space for pictures, text and sound.",
            "",
            "usage: sensorium [--use FILE.py] VERB [arguments] [--json]",
            "",
            *verbs,
            "",
            "  sensorium VERB --help   what the verb takes",
            "  --json                  the answer as one JSON document on stdout, and nothing else there",
            "  --use FILE.py           import this file first: it may add to sensorium.modalities.MODALITIES",
            "  --version               the version",
            "",
            "Exit codes: 0 fine, 1 an error to act on, 2 wrong usage. SENSORIUM_DEBUG=1 adds tracebacks.",
        ]
    )


def _guard(arguments: list[str], machine: bool) -> int:
    """The exit code; what a person can mend is said, what only we can mend is raised."""
    try:
        _answer(arguments, machine)
        return 0
    except WrongUsage as error:
        return _fail(str(error), "WrongUsage", machine, code=2)
    except SensoriumError as error:
        return _fail(str(error), type(error).__name__, machine, code=1)
    except KeyboardInterrupt:
        return _fail("interrupted", "KeyboardInterrupt", machine, code=1)
    except BrokenPipeError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:  # no such file, no permission
            return _fail(f"{error.filename}: {error.strerror}", type(error).__name__, machine, code=1)
        if machine:
            print(json.dumps({"error": f"a bug in Sensorium: {error}", "kind": type(error).__name__}))
        raise


def _warned(message: Warning | str, category: type[Warning], filename: str, lineno: int, file=None, line=None) -> None:
    """What is for the user is said in a line of its own, all else as Python does it."""
    told = (
        f"note: {message}\n"
        if issubclass(category, SensoriumWarning)
        else warnings.formatwarning(message, category, filename, lineno)
    )
    (file or sys.stderr).write(told)


def _fail(text: str, kind: str, machine: bool, code: int) -> int:
    if os.environ.get("SENSORIUM_DEBUG"):
        traceback.print_exc()
    print(f"error: {text}", file=sys.stderr)
    if machine:
        print(json.dumps({"error": text, "kind": kind}))
    return code


def _answer(arguments: list[str], machine: bool) -> None:
    while arguments[:1] == ["--use"]:
        _use(*arguments[1:2])
        arguments = arguments[2:]
    if not arguments:
        raise WrongUsage(f"which verb?{nearest('', VERBS)} See: sensorium --help")
    name, *rest = arguments
    if name in ("-h", "--help"):
        print(overview())
    elif name == "--version":
        print(json.dumps({"version": __version__}) if machine else f"sensorium {__version__}")
    elif name not in VERBS:
        raise WrongUsage(f"{name!r} is no verb.{nearest(name, VERBS)} See: sensorium --help")
    else:
        _run(name, rest, machine)


def _use(file: str = "") -> None:
    """Imports a user's own file by its name, as worker processes will do too: its folder goes on the path."""
    path = Path(file)
    if not file or path.suffix != ".py" or not path.is_file():
        raise WrongUsage(f"--use {file}: give a Python file that is there, before the verb. See: sensorium --help")
    sys.path.insert(0, str(path.resolve().parent))
    importlib.import_module(path.stem)
    USED.append(path.resolve())


def _run(name: str, arguments: list[str], machine: bool) -> None:
    """Calls a verb and prints its result, for a person or as JSON."""
    module = importlib.import_module(f"sensorium.cli.{name}")
    if machine:
        from sensorium.cli.progress import silenced

        with redirect_stdout(sys.stderr), silenced():  # whatever a library prints stays out of the document
            result = _parse(name, module, arguments)()
        print(json.dumps(result, allow_nan=False))
    else:
        from rich.console import Console

        result = _parse(name, module, arguments)()
        module.show(result, Console())


def _parse(name: str, module: ModuleType, arguments: list[str]) -> Callable[[], dict]:
    """The verb's function with its arguments filled in. Wrong ones are `WrongUsage`; `--help` prints and exits with 0."""
    import tyro

    function = getattr(module, name)

    @wraps(function)
    def hold(*args, **kwargs):  # tyro calls what it parses for; we want to tell its errors from the verb's
        return partial(function, *args, **kwargs)

    examples = "\n".join(f"  $ {line}" for line in module.EXAMPLE.strip().splitlines())
    description = f"{cleandoc(function.__doc__ or '').partition('Args:')[0].strip()}\n\nexample:\n{examples}"
    complaint = StringIO()
    try:
        with redirect_stderr(complaint):
            whole = (tyro.conf.CascadeSubcommandArgs,)  # all options may come after a recipe's name
            return tyro.cli(hold, prog=f"sensorium {name}", description=description, args=arguments, config=whole)
    except SystemExit as stop:
        if stop.code in (None, 0):
            raise
        lines = (line.strip(" ╭╮╰╯│─") for line in complaint.getvalue().splitlines())  # out of tyro's box
        raise WrongUsage("\n".join(line for line in lines if line)) from None
