"""A model published on the Hugging Face Hub: by huggingface_hub's own `ModelHubMixin`, which is imported when it is asked for."""

from collections.abc import Callable
from pathlib import Path

from sensorium.core.errors import SensoriumError, need
from sensorium.core.files import read_json, write_json
from sensorium.pretrained.family import OPEN_CLIP
from sensorium.pretrained.licence import CARD
from sensorium.pretrained.model_card import MARK, rename

WHAT = "publishing a model on the Hugging Face Hub"


class NotPublished(SensoriumError):
    """The Hub did not take a model; the text says why, and what to do."""


def push(
    save: Callable[[Path], None],
    repository: str,
    *,
    commit_message: str,
    private: bool | None,
    token: str | bool | None,
    branch: str | None,
    create_pr: bool | None,
) -> str:
    """Makes the repository where there is none, and puts into it what `save` writes into a folder: one commit, whose address is
    returned. A card there that somebody else wrote stays as it is. `NotPublished` where the Hub refuses, or cannot be reached.
    """
    hub, errors = need("huggingface_hub", "hub", WHAT), need("huggingface_hub.errors", "hub", WHAT)

    class Held(hub.ModelHubMixin):
        def _save_pretrained(self, save_directory: Path) -> None:
            save(save_directory)
            rename(save_directory, repository)
            _tokens_at(save_directory / OPEN_CLIP, repository)

    try:
        kept = [CARD] if _somebody_else_wrote_its_card(hub, repository, token, branch) else None
        return str(
            Held().push_to_hub(
                repository,
                commit_message=commit_message,
                private=private,
                token=token,
                branch=branch,
                create_pr=create_pr,
                ignore_patterns=kept,
            )
        )
    except (errors.HfHubHTTPError, errors.HFValidationError, errors.LocalTokenNotFoundError, OSError) as error:
        told = " ".join(str(error).split())[:300]
        raise NotPublished(
            f"{repository}: not published ({type(error).__name__}: {told}). It takes a network (no HF_HUB_OFFLINE), a name such "
            "as you/your-model, and a token that may write: hf auth login, or HF_TOKEN, or token=…"
        ) from error


def _tokens_at(config: Path, repository: str) -> None:
    """Says in OpenCLIP's configuration that the tokenizer is the one in this repository, where it was the one in its folder."""
    said = read_json(config) if config.is_file() else {}
    texts = said.get("model_cfg", {}).get("text_cfg", {})
    if texts.get("hf_tokenizer_name") == ".":
        texts["hf_tokenizer_name"] = repository
        write_json(config, said)


def _somebody_else_wrote_its_card(hub, repository: str, token: str | bool | None, branch: str | None) -> bool:
    api = hub.HfApi(token=token)
    if not api.file_exists(repository, CARD, revision=branch):
        return False
    return MARK not in Path(api.hf_hub_download(repository, CARD, revision=branch)).read_text(encoding="utf-8", errors="replace")
