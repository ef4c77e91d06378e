"""Is the sample code of the guide, the skill and the simple example wrong, and ours right? The same probes, put to both.

`--seeds DIR`, a folder with the three documents (001_*, 002_* and 004_*, Markdown with Python blocks), runs their code and writes
results/sample_code.json; their PyTorch needs `pip install torch` in an environment to be thrown away. Without it, what was seen
in them is taken from that file, and only ours is run. Then the page docs/guide/sample_code.md is written from the results.
Run: python benchmarks/sample_code.py --seeds DIR
"""

import argparse
import ast
import json
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from common.record import HERE, write

RESULT = HERE / "results" / "sample_code.json"
PAGE = HERE.parent / "docs" / "guide" / "sample_code.md"
DOCUMENTS = {"guide": "001_*", "skill": "002_*", "example": "004_*"}
ABSENT = "not in the documents"
FRAME = """# What the sample code gets wrong

The names of `sensorium.multi_modal` come from a guide, a skill and an example. Their code shows what is meant, and where it was
tried it often did something else. Each row below is a *probe*, a small test of one property, that was put to the code of the
documents as it stands there and to ours. The probes were written from faults that had been found: they do not measure how good
the rest of that code is. They are in `tests/multi_modal/faults_*.py` and run with every test of Sensorium;
`benchmarks/sample_code.py` puts them to the documents as well, and writes this page.

How the documents' code was run: classes and functions of the Python blocks only, unchanged, in one namespace a document;
PyTorch models in evaluation mode; arrays turned to the layout that the code expects (pictures with channels first). Three
things were completed, so that more than the first fault could be seen: the CLIP model gets its temperature as a tensor in
S22.sharp, where it cannot be built otherwise; the simple model gets the two methods that it calls in S48.gradient; and the
network that the video encoder fetches from a hub is a single random layer with the same input. What the documents use and do
not show (the synthetic data set, the paired data, modality dropout) could not be run: the faults in those rows are reported of
the published library that the guide describes, and only ours was measured. Times are of a busy machine.

"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=Path, help="the folder of the documents")
    seeds = parser.parse_args().seeds
    sys.path.insert(0, str(HERE.parent / "tests"))
    from multi_modal.faults import PROBES

    seen = known(PROBES) if seeds is None else measured(PROBES, seeds)
    measure(PROBES, seen)
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(result), encoding="utf-8")
    wrong = [row["id"] for row in result["probes"] if not row["ours"]["passed"]]
    print(f"{len(result['probes'])} probes; ours fails {', '.join(wrong) or 'none'}")
    return int(bool(wrong))


def measured(probes: Mapping[str, Any], seeds: Path) -> dict[str, Any]:
    """What the probes see in the sample code, and the versions that it ran with."""
    theirs, found = sample(seeds), {}
    for id, probe in sorted(probes.items()):
        found[id] = tried(probe.check, theirs) if probe.shown else {"passed": None, "seen": ABSENT}
        print(f"{id}, sample, {found[id]['passed']}: {found[id]['seen']}", flush=True)
    return {"versions": {library: version(library) for library in ("jax", "flax", "torch")}, "probes": found}


def known(probes: Mapping[str, Any]) -> dict[str, Any]:
    """The same, from the result file."""
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    found = {row["id"]: row["sample"] for row in result["probes"]}
    if unseen := [id for id in probes if id not in found]:
        raise SystemExit(f"the sample code was not put to {', '.join(unseen)}: give --seeds")
    return {"versions": result["sample_versions"], "probes": found}


def measure(probes: Mapping[str, Any], seen: dict[str, Any]) -> None:
    """Puts the probes to ours, and writes the result of both sides."""
    from multi_modal.faults import ours

    here, rows = ours(), []
    for id, probe in sorted(probes.items()):
        verdict = tried(probe.check, here)
        print(f"{id}, ours, {verdict['passed']}: {verdict['seen']}", flush=True)
        rows.append({"id": id, "fault": probe.fault, "right": probe.right, "sample": seen["probes"][id], "ours": verdict})
    question = "which faults of the sample code are reproduced, and are they ours?"
    write("sample_code", {"question": question, "sample_versions": seen["versions"], "probes": rows})


def tried(check: Callable[[Any], str], api: Any) -> dict[str, Any]:
    """Whether a probe passes, and what it saw, or the error."""
    from multi_modal.probe import Fault

    try:
        return {"passed": True, "seen": check(api)}
    except Fault as fault:
        return {"passed": False, "seen": str(fault)}
    except Exception as error:  # any: it is the finding
        said = " ".join(str(error).split())
        return {"passed": False, "seen": f"{type(error).__name__}: {said if len(said) <= 140 else said[:139] + '…'}"}


def page(result: dict[str, Any]) -> str:
    """The page of the docs, from the result file."""
    shown = [row for row in result["probes"] if row["sample"]["passed"] is not None]
    caught = sum(not row["sample"]["passed"] for row in shown)
    passed = sum(row["ours"]["passed"] for row in result["probes"])
    count = (
        f"Of {len(shown)} probes that could be put to the sample code it fails {caught}. Sensorium passes {passed} of all "
        f"{len(result['probes'])}.\n\n"
    )
    lines = ["| probe | the sample code | seen there | right is | seen here |", "|---|---|---|---|---|"]
    for row in result["probes"]:
        there, here = _cell(row["sample"], usual=False), _cell(row["ours"], usual=True)
        lines.append(f"| {row['id']} | {row['fault']} | {there} | {row['right']} | {here} |")
    with_versions = ", ".join(f"{name} {version}" for name, version in result["sample_versions"].items())
    return FRAME + count + "\n".join(lines) + f"\n\nThe sample code ran with {with_versions}.\n"


def _cell(side: dict[str, Any], usual: bool) -> str:
    mark = "" if side["passed"] in (usual, None) else "**passes**: " if side["passed"] else "**fails**: "
    return mark + side["seen"].replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def sample(seeds: Path) -> SimpleNamespace:
    """The documents' names, with the signatures that the probes call: NNX as it is, PyTorch behind a thin shell."""
    torch = import_module("torch")

    torch.set_num_threads(1)
    sys.modules.setdefault("torchaudio", ModuleType("torchaudio"))  # imported by the skill, and not used
    names = {kind: definitions(_document(seeds, pattern)) for kind, pattern in DOCUMENTS.items()}
    names["skill"]["torch"] = _without_hub(torch)
    api = SimpleNamespace(**names["guide"] | names["example"])
    api.CompletedSimpleModel = _completed(names["example"])
    api.contrastive_loss = lambda logits, **rest: float(names["skill"]["contrastive_loss"](tensor(logits), **rest))
    api.MultiModalDataset = names["skill"]["MultiModalDataset"]
    for name in ("TextEncoder", "MultiModalFusion", "PerceiverAttention", "MultiModalProjector", "AudioEncoder"):
        setattr(api, name, shell(names["skill"][name]))
    api.ImageEncoder, api.CLIPModel = (shell(names["skill"][name], channels_first) for name in ("ImageEncoder", "CLIPModel"))
    api.VideoEncoder = shell(names["skill"]["VideoEncoder"], lambda x: x.permute(0, 1, 4, 2, 3))
    api.VideoEncoderAsRead = shell(names["skill"]["VideoEncoder"], lambda x: x.permute(0, 4, 1, 2, 3))
    api.MultiModalRetrieval = _retrieval(names["skill"]["MultiModalRetrieval"])
    return api


def _document(seeds: Path, pattern: str) -> str:
    found = sorted(seeds.glob(pattern))
    if len(found) != 1:
        raise SystemExit(f"{seeds} has {len(found)} documents called {pattern}: expected one")
    return found[0].read_text(encoding="utf-8")


def definitions(document: str) -> dict[str, Any]:
    """What the Python blocks of a document import and define, in one namespace; nothing of artifex, and no statement."""
    import flax.nnx
    import jax

    namespace = {"jax": jax, "jnp": jax.numpy, "nnx": flax.nnx, "__name__": "sample"}
    for block in re.findall(r"^```python\n(.*?)^```", document, re.DOTALL | re.MULTILINE):
        tree = ast.parse(block)
        kept = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
        tree.body = [node for node in tree.body if isinstance(node, kept) and not _artifex(node)]
        exec(compile(tree, "<sample code>", "exec"), namespace)
    return {name: value for name, value in namespace.items() if not name.startswith("__")}


def _artifex(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and (node.module or "").startswith("artifex")


# PyTorch behind the calls of the probes


def tensor(x: Any) -> Any:
    torch = import_module("torch")

    array = np.asarray(x)
    return torch.from_numpy(array.astype(np.int64 if array.dtype.kind in "iu" else np.float32))


def channels_first(x: Any) -> Any:
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x


def shell(kind: type, layout: Callable[[Any], Any] = lambda x: x) -> Callable[..., Callable[..., np.ndarray]]:
    """A class of PyTorch modules as one that takes `rngs`, and arrays."""
    torch = import_module("torch")

    def build(*arguments: Any, rngs: Any = None, **named: Any) -> Callable[..., np.ndarray]:
        torch.manual_seed(0)
        if kind.__name__ == "MultiModalFusion":
            arguments = arguments[:3]
        if kind.__name__ == "CLIPModel" and len(arguments) > 1:
            arguments = arguments[0], torch.tensor(arguments[1])  # as a number it cannot be used: that is another probe
        module = kind(*arguments, **named).eval()

        def call(*arrays: Any, deterministic: bool = True) -> np.ndarray:
            with torch.no_grad():
                return module(*(None if x is None else layout(tensor(x)) for x in arrays)).numpy()

        return call

    return build


def _without_hub(torch: ModuleType) -> Any:
    """`torch`, where `hub.load` gives a 3D network of one random layer with r3d_18's input instead of fetching it."""

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.fc = torch.nn.Conv3d(3, 512, (3, 7, 7), (1, 4, 4)), torch.nn.Identity()

        def forward(self, x):
            return self.fc(self.stem(x).relu().mean((2, 3, 4)))

    torch.hub.load = lambda *_, **__: Network()
    return torch


def _completed(example: dict[str, Any]) -> type:
    """The example's model with the two methods that its `compute_similarity` calls."""

    class Completed(example["SimpleMultimodalModel"]):
        def encode_image(self, images):
            return self.image_encoder.encoder(images)

        def encode_text(self, text_ids):
            return self.text_encoder(text_ids)

        compute_similarity = example["compute_similarity"]

    return Completed


def _retrieval(kind: type) -> Callable[..., Any]:
    """The skill's engine over a model with `encode_image` and `encode_text`; a query's picture goes through a file."""

    class Engine(kind):
        def __init__(self, model, images, texts):
            towers = SimpleNamespace(eval=lambda: None)
            towers.image_encoder = lambda x: tensor(model.encode_image(x))
            towers.text_encoder = lambda x: tensor(model.encode_text(x))
            super().__init__(towers, images, texts)

        def retrieve_image_to_text(self, query_image, k=5):
            from PIL import Image

            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "query.png"
                Image.fromarray((255 * np.asarray(query_image)).astype(np.uint8)).save(path)
                return [SimpleNamespace(id=id) for id in super().retrieve_image_to_text(str(path), k)]

    return Engine


if __name__ == "__main__":
    sys.exit(main())
