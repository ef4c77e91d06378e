"""Plans: what could be done about the findings, as a file that a person reads and edits, and a clean copy made by it.

A plan is JSON: the folder with its fingerprint, and a list of actions on files of it. Applying one writes a new folder; the
folder itself is only ever read.

    {"action": "drop", "path": "images/7.png"}                              the file is left out
    {"action": "rename", "path": "images/8.jpg", "to": "images/8.webp"}
    {"action": "re-encode", "path": "captions/9.txt", "from": "cp1252"}     a text as UTF-8, without marks and control characters
    {"action": "edit caption", "path": "captions/3.txt", "old": "IMG_1.jpg", "new": "a boat"}      "new": "" takes the line out
    {"action": "edit manifest", "path": "manifest.csv", "remove": [8], "empty": [[9, "audio", "audio/7.wav"]]}     see `lines`
"""

import hashlib
import json
import os
import shutil
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sensorium.core.errors import BadFile, nearest
from sensorium.core.files import read_json, write_text
from sensorium.core.limits import limits
from sensorium.doctor.captions import mended
from sensorium.doctor.examine import Report
from sensorium.doctor.finding import Finding
from sensorium.doctor.lines import BadPlan as BadPlan
from sensorium.doctor.lines import check_edit, edited, edits
from sensorium.doctor.names import FORMATS, HEAD, format_of

ACTIONS: dict[str, dict[str, type]] = {
    **{"drop": {}, "rename": {"to": str}, "re-encode": {"from": str}, "edit caption": {"old": str, "new": str}},
    "edit manifest": {"remove": list, "empty": list},
}
"""Each with what it takes beside the path."""
NOUNS = {str: "text", list: "list"}
FORMAT = 1


@dataclass(frozen=True)
class Applied:
    """What was done: files by action, and those that were taken over as they are."""

    out: Path
    done: dict[str, int]
    kept: int


def write_plan(report: Report, path: Path | str) -> dict[str, Any]:
    """Writes what could be done about the findings of a report, and returns it. Nothing is done."""
    root = report.health.listing.root
    if not isinstance(root, Path) or not root.is_dir():
        raise BadPlan(f"{root}: plans are made for folders of files, and this is none")
    if report.health.listing.sources:
        raise BadPlan(f"{', '.join(report.health.listing.sources)}: a plan is made for one of them at a time")
    if path_inside(root, Path(path)):
        raise BadPlan(f"{path}: it lies in the folder that it is about, which is never written to; write it elsewhere")
    named = any(item.line for item in report.health.listing.items)  # by a manifest, which a renaming would make wrong
    actions = [action for finding in report.findings for action in _proposed(finding, root)]
    actions = [action for action in actions if not (named and action["action"] == "rename")]
    taken: set[str] = set()
    once = [action for action in actions if not (action["path"] in taken or taken.add(action["path"]))]
    dropped = {action["path"] for action in once if action["action"] == "drop"}
    edit = edits(report.health.listing, dropped)
    once += [edit] if edit else []
    plan = {"format": FORMAT, "folder": str(root), "fingerprint": fingerprint(root), "actions": once}
    write_text(path, json.dumps(plan, indent=2) + "\n")
    return plan


def apply(folder: Path | str, plan: Path | str, out: Path | str) -> Applied:
    """Makes the clean folder `out` (which must not exist) as the file `plan` says of `folder`, and of nothing else.

    What the plan does not name is copied, with its times. `BadPlan` before anything is written where the plan does not hold.
    """
    root, out = Path(folder), Path(out)
    root = root.parent if root.is_file() else root  # checked through its manifest
    actions = _checked(root, Path(plan))
    if out.exists() or out.is_symlink():
        raise BadPlan(f"{out}: it exists; give the name of a new folder")
    if path_inside(root, out):
        raise BadPlan(f"{out}: it lies in {root}, which is never written to; give a place outside of it")
    by = {action["path"]: action for action in actions}
    done, kept = dict.fromkeys(ACTIONS, 0), 0
    contents = {path: _changed(root / path, action) for path, action in by.items()}  # all of them, before anything is written
    out.mkdir(parents=True)
    for file in files_of(root):
        name = file.relative_to(root).as_posix()
        action = by.get(name)
        if action is None:
            _take(file, out / name)
            kept += 1
            continue
        done[action["action"]] += 1
        if action["action"] == "rename":
            _take(file, out / action["to"])
        elif data := contents[name]:  # a text of which no line is left is left out itself
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(data)
    return Applied(out, {name: n for name, n in done.items() if n}, kept)


def fingerprint(root: Path) -> str:
    """A hash of the names, sizes and times of all files in a folder: a plan is for these, and for no later state."""
    digest = hashlib.sha256()
    for file in files_of(root):
        stat = file.stat()
        name = os.fsencode(file.relative_to(root).as_posix())
        digest.update(name + b"\0%d %d\0" % (stat.st_size, stat.st_mtime_ns))
    return digest.hexdigest()[:32]


def files_of(root: Path) -> Iterator[Path]:
    """The ordinary files in a folder, sorted; links are taken only where they lead to a file within it."""
    real = root.resolve()
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(folders)
        for name in sorted(names):
            file = Path(folder, name)
            if file.is_file() and file.resolve().is_relative_to(real):
                yield file


def path_inside(root: Path, path: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())


def _proposed(finding: Finding, root: Path) -> Iterator[dict[str, Any]]:
    """What a plan says of a finding; nothing where only a person can tell what is right."""
    for path in map(Path, finding.paths):
        if not (finding.advice.action and path.is_file() and path.is_relative_to(root)):
            continue
        action: dict[str, Any] = {"action": finding.advice.action, "path": path.relative_to(root).as_posix()}
        if action["action"] == "rename":
            with path.open("rb") as stream:
                name = format_of(stream.read(HEAD))
            to = path.with_suffix(FORMATS[name][0]) if name else path
            if to == path or to.exists():
                continue
            action["to"] = to.relative_to(root).as_posix()
        elif action["action"] == "re-encode":
            action["from"] = _encoding(path)
        elif action["action"] == "edit caption":
            old = _only_line(path)
            if old is None:
                continue
            action |= {"old": old, "new": mended(old) or ""}
        yield {**action, "why": f"{finding.kind}: {finding.what}"}


def _encoding(path: Path) -> str:
    """The encoding that a text most likely has: its mark tells, else it is UTF-8, or Windows' Latin-1."""
    data = _text_bytes(path)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    try:
        data.decode("utf-8")
        return "utf-8-sig"
    except UnicodeDecodeError:
        return "cp1252"


def _only_line(path: Path) -> str | None:
    """The caption of a file that has one; of several a person has to choose."""
    lines = [line.strip() for line in _text_bytes(path).decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[0] if len(lines) == 1 else None


def _text_bytes(path: Path) -> bytes:
    if (size := path.stat().st_size) > limits().caption_bytes:
        raise BadPlan(f"{path}: {size} bytes are more than the limit of {limits().caption_bytes} for a text")
    return path.read_bytes()


def _checked(root: Path, path: Path) -> list[dict[str, Any]]:
    """The actions of a plan that holds: of this format, for this folder as it is, and for nothing outside of it."""
    plan = read_json(path)
    if not isinstance(plan, dict) or plan.get("format") != FORMAT or not isinstance(plan.get("actions"), list):
        raise BadPlan(f"{path}: not a plan of this version; make one with: sensorium data check {root} --fix {path}")
    if not root.is_dir():
        raise BadFile(f"{root}: no such folder")
    if plan.get("fingerprint") != fingerprint(root):
        raise BadPlan(f"{path}: it was made for {plan.get('folder')}, or for another state of it: check {root} again")
    there = {file.relative_to(root).as_posix() for file in files_of(root)}
    used: set[str] = set()
    for number, action in enumerate(plan["actions"], 1):
        _check_action(f"{path}: action {number}", action, there, used)
    return plan["actions"]


def _check_action(where: str, action: Any, there: set[str], used: set[str]) -> None:
    """`used`: the names that actions before it have taken, as sources or as new names."""
    name = action.get("action") if isinstance(action, dict) else None
    if name not in ACTIONS:
        raise BadPlan(f"{where}: {name!r} is no action.{nearest(str(name), ACTIONS)}")
    for key, kind in ({"path": str} | ACTIONS[name]).items():
        if not isinstance(action.get(key), kind):
            raise BadPlan(f"{where}: {name} takes a {NOUNS[kind]} {key!r}, got {action.get(key)!r}")
    if name == "edit manifest":
        check_edit(where, action)
    for key in ("path", "to") if name == "rename" else ("path",):
        parts = PurePosixPath(action[key]).parts
        if not parts or ".." in parts or PurePosixPath(action[key]).is_absolute() or "\0" in action[key]:
            raise BadPlan(f"{where}: {key} {action[key]!r} leads out of the folder: give a path in it")
        normal = PurePosixPath(action[key]).as_posix()
        if normal != action[key] or normal in used:
            raise BadPlan(f"{where}: {key} {action[key]!r} is named twice, or not plainly ({normal})")
        used.add(normal)
    if action["path"] not in there:
        raise BadPlan(f"{where}: there is no file {action['path']!r} in the folder (links that lead out of it do not count)")
    if name == "rename" and (action["to"] in there or action["to"].startswith(".")):
        raise BadPlan(f"{where}: {action['to']!r} is there already, or would be hidden")


def _changed(file: Path, action: dict[str, Any]) -> bytes | None:
    """The new bytes of a text or manifest that is changed; None for the other actions."""
    if action["action"] == "edit manifest":
        return edited(file, action)
    try:
        if action["action"] == "re-encode":
            text = _text_bytes(file).decode(action["from"])
            lines = text.removeprefix("\ufeff").splitlines()
            return "".join("".join(c for c in line if unicodedata.category(c) != "Cc") + "\n" for line in lines).encode()
        if action["action"] == "edit caption":
            lines = _text_bytes(file).decode("utf-8-sig").splitlines()
            if action["old"] not in [line.strip() for line in lines]:
                raise BadPlan(f"{file}: no line of it is {action['old']!r}, as the plan says")
            new = [action["new"] if line.strip() == action["old"] else line for line in lines]
            return "".join(f"{line}\n" for line in new if line.strip()).encode()
    except (UnicodeError, LookupError) as error:  # LookupError: there is no such encoding
        raise BadPlan(f"{file}: cannot be re-encoded as the plan says: {error}") from error
    return None


def _take(file: Path, to: Path) -> None:
    """The same bytes at another place. No hard link: who then edits the clean copy would change the original."""
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(file, to)
