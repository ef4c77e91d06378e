"""From what a user names to a folder: a directory as it is, or a repository of the Hub through its own client and cache."""

import re
from collections.abc import Sequence
from pathlib import Path

from sensorium.core.errors import BadFile, need

WANTED = ("*.json", "*.safetensors", "*.txt", "*.md", "1_Pooling/*")
"""What is downloaded: no pickle, no other framework's weights."""
CONFIGS = ("config.json", "open_clip_config.json")
"""A folder with one of these holds a model."""
_ID = re.compile(r"[\w.-]+/[\w.-]+")


def folder_of(path: Path | str, revision: str | None, configs: Sequence[str]) -> Path:
    """The folder with one of the files `configs` that `path` means. `BadFile` where there is none; `HF_HUB_OFFLINE`, `HF_HOME`
    and tokens as ever."""
    folder = Path(path)
    if any((folder / config).is_file() for config in configs):
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
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=list(WANTED)))
    except (errors.HfHubHTTPError, errors.HFValidationError, errors.LocalEntryNotFoundError, OSError, ValueError) as error:
        at = f" --revision {revision}" if revision else ""
        kept = " ".join(f"--include '{pattern}'" for pattern in WANTED)
        raise BadFile(
            f"{name}: no directory here, not in the cache of Hugging Face ({hub.constants.HF_HUB_CACHE}), and it could not be "
            f"downloaded ({type(error).__name__}: {' '.join(str(error).split())[:200]}). Where there is a network: "
            f"hf download {name}{at} {kept}; copy that cache here, or give the directory"
        ) from error
