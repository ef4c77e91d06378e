"""Sentence embeddings in the layout of sentence-transformers (Reimers & Gurevych 2019): modules.json, and a folder a module."""

from pathlib import Path
from typing import Any

from sensorium.core.errors import BadFile
from sensorium.core.files import read_json
from sensorium.modalities import Text
from sensorium.pretrained.family import Folder, Json, checked
from sensorium.pretrained.rules import Rule, linear

MODULES, LENGTH, PROMPTS = "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"
POOLING, DENSE = "1_Pooling", "2_Dense"
POOLINGS = {
    "pooling_mode_cls_token": "bert_first",
    "pooling_mode_mean_tokens": "bert_mean",
    "pooling_mode_max_tokens": "bert_maximum",
}
ACTIVATIONS = {"torch.nn.modules.activation.Tanh": "tanh", "torch.nn.modules.linear.Identity": "none"}
ORDERS = tuple(["Transformer", "Pooling", *dense, *normed] for dense in ((), ("Dense",)) for normed in ((), ("Normalize",)))


def sentence(folder: Folder) -> Json | None:
    """What the modules ask for: "form" of `PublishedText`, and "normed", "head" and "head_activation" where they are asked for.
    None where the folder has no modules; `BadFile` for others than are known."""
    path = folder.path
    if not (path / MODULES).is_file():
        return None
    kinds = [str(module["type"]).rpartition(".")[2] for module in read_json(path / MODULES)]
    if kinds not in ORDERS:
        known = "Transformer, Pooling and, after them, Dense and Normalize"
        raise BadFile(f"{path / MODULES}: modules {', '.join(kinds)}; known are {known}")
    checked(f"{path / LENGTH}", folder.json(LENGTH) or {}, do_lower_case=False)
    checked(f"{path / PROMPTS}", folder.json(PROMPTS) or {}, default_prompt_name=None)
    said: Json = {"form": _pooling(path / POOLING / "config.json")}
    if "Dense" in kinds:
        said |= _dense(path / DENSE / "config.json")
    return said | ({"normed": True} if "Normalize" in kinds else {})


def _pooling(path: Path) -> str:
    said = read_json(path)
    asked = [name for name, value in said.items() if name.startswith("pooling_mode_") and value is True]
    if "pooling_mode" in said:  # newer files name it
        asked = [f"pooling_mode_{said['pooling_mode']}" + ("_token" if said["pooling_mode"] == "cls" else "_tokens")]
    if len(asked) != 1 or asked[0] not in POOLINGS:
        raise BadFile(f"{path}: pools by {', '.join(asked) or 'nothing'}; known is one of {', '.join(POOLINGS)}")
    return POOLINGS[asked[0]]


def _dense(path: Path) -> Json:
    said = read_json(path)
    if not said.get("bias", True) or said.get("activation_function") not in ACTIVATIONS:
        asked = f"{'a' if said.get('bias', True) else 'no'} bias, and {said.get('activation_function')!r}"
        raise BadFile(f"{path}: a layer with {asked}; known are those with a bias, and {', '.join(ACTIVATIONS)}")
    return {"head": said["out_features"], "head_activation": ACTIVATIONS[said["activation_function"]]}


def longest(folder: Folder, places: int) -> int:
    """The most tokens that a text may have, of the `places` that the model has."""
    return min((folder.json(LENGTH) or {}).get("max_seq_length") or places, places)


def dense_rules(text: str) -> list[Rule]:
    return linear(f"{text}.head", f"{DENSE}/linear")


def sentence_files(text: Json, field: Text) -> dict[str, Any]:
    """The files of the modules, for a model that pools as one of them does."""
    modes = [mode for mode, form in POOLINGS.items() if form == text["form"]]
    if not modes:
        return {}
    width, head, named = text["layers"]["width"], text.get("head"), "sentence_transformers.models"
    kinds = {"": "Transformer", POOLING: "Pooling"} | ({DENSE: "Dense"} if head else {})
    kinds |= {f"{len(kinds)}_Normalize": "Normalize"} if text.get("normed") else {}
    files: dict[str, Any] = {
        MODULES: [
            {"idx": i, "name": str(i), "path": path, "type": f"{named}.{kind}"} for i, (path, kind) in enumerate(kinds.items())
        ],
        f"{POOLING}/config.json": {"word_embedding_dimension": width, **{mode: mode in modes for mode in POOLINGS}},
        LENGTH: {"max_seq_length": field.length, "do_lower_case": False},
    }
    if head:
        activation = next(name for name, ours in ACTIVATIONS.items() if ours == text.get("head_activation", "none"))
        files[f"{DENSE}/config.json"] = {
            "in_features": width,
            "out_features": head,
            "bias": True,
            "activation_function": activation,
        }
    return files
