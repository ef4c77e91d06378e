"""From what a user names to a folder: a directory as it is, or a repository of the Hub through its own client and cache."""

import re
from collections.abc import Sequence
from pathlib import Path

from sensorium.core.errors import BadFile, need

WANTED = ("*.json", "*.safetensors", "*.txt", "*.md", "1_Pooling/*")
"""What is downloaded: no pickle, no other framework's weights."""
IDLE = ("model.fp*.safetensors", "onnx/*")
"""But for the same weights once more, as other numbers (openai/whisper-large-v3 has 6 GB of them)."""
CONFIGS = ("config.json", "open_clip_config.json")
"""A folder with one of these holds a model."""
_ID = re.compile(r"[\w.-]+/[\w.-]+")


def folder_of(path: Path | str, revision: str | None, configs: Sequence[str] = CONFIGS, token: str | bool | None = None) -> Path:
    """The folder with one of the files `configs` that `path` means. `BadFile` where there is none; `HF_HUB_OFFLINE`, `HF_HOME`
    and tokens as ever."""
    folder = Path(path)
    if any((folder / config).is_file() for config in configs):
        if revision is not None:
            raise BadFile(f"{path}: a directory here, which has no revisions: leave out revision={revision!r}")
        return folder
    name = str(path)
    if folder.is_dir() or not isinstance(path, str) or not _ID.fullmatch(name) or name.startswith((".", "/")):
        found = f"it has no {' nor '.join(configs)}" if folder.is_dir() else "it is no directory"
        raise BadFile(
            f"{path}: no model here: {found}. Give the directory that `sensorium train … --out` wrote, one in the layout of "
            "Hugging Face, or the id of a repository, such as openai/clip-vit-base-patch32"
        )
    hub = need("huggingface_hub", "hub", f"{name} is no directory, and loading it from the Hugging Face Hub")
    errors = need("huggingface_hub.errors", "hub", "loading from the Hugging Face Hub")
    try:
        patterns = {"allow_patterns": list(WANTED), "ignore_patterns": list(IDLE)}
        found = Path(hub.snapshot_download(name, revision=revision, token=token, **patterns))
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError, ValueError) as error:
        raise BadFile(f"{name}: {_why(error, revision)} {_how(name, revision)}") from error
    if not any((found / config).is_file() for config in configs):
        raise BadFile(f"{name}: this repository has no {' nor '.join(configs)}, so it is no model that can be read: {found}")
    return found


def _why(error: Exception, revision: str | None) -> str:
    """What went wrong, in a sentence or two."""
    errors = need("huggingface_hub.errors", "hub", "loading from the Hugging Face Hub")
    constants = need("huggingface_hub.constants", "hub", "loading from the Hugging Face Hub")
    absent = f"no directory here, and not whole in the cache of Hugging Face ({constants.HF_HUB_CACHE})"
    said = f"({type(error).__name__}: {' '.join(str(error).split())[:200]})"
    if isinstance(error, errors.GatedRepoError):
        return f"its authors ask who you are {said}. Agree to their terms on its page, then: hf auth login (or HF_TOKEN=…)."
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"the Hub has no such repository, or it is private {said}. Check the name; for a private one: hf auth login."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"the repository has no revision {revision!r} {said}. Give a branch, a tag, or the hash of a commit."
    if constants.HF_HUB_OFFLINE:
        at = f" at the revision {revision}" if revision else ""
        return f"{absent}{at}, and HF_HUB_OFFLINE forbids to download it."
    return f"{absent}, and it could not be downloaded {said}."


def _how(name: str, revision: str | None) -> str:
    at = f" --revision {revision}" if revision else ""
    kept = " ".join([*(f"--include '{pattern}'" for pattern in WANTED), *(f"--exclude '{pattern}'" for pattern in IDLE)])
    return (
        f"Where there is a network: hf download {name}{at} {kept}; then copy that cache here (HF_HOME says where it is), or "
        "give the directory."
    )
