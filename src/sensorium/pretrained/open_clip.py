"""CLIP as OpenCLIP has it (Ilharco et al. 2021), in its own layout: open_clip_config.json and open_clip_model.safetensors.

Known are models of its own vision and text transformers. Texts are read by its own tokenizer (`SimpleTokenizer`), whose pieces
are those of the tokenizer.json, or vocab.json and merges.txt, that lie in the repositories; or by that tokenizer.json itself,
where the configuration names one (`hf_tokenizer_name`). They are cleaned as there, but for mojibake (`modalities.text_cleaned`);
and "<end_of_text>" is a mark within a run of punctuation too. A picture becomes RGB before it is resized, transparency laid on
white, where OpenCLIP resizes palettes without smoothing and drops transparency.
"""

from dataclasses import replace
from typing import Any

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Modality
from sensorium.modalities import Text
from sensorium.modalities.picture import Picture, Processing, processing_of
from sensorium.modalities.text_pieces import Pieces, pieces_of, read
from sensorium.pretrained.clip_tokens import END, OPEN_END, clip_tokenizer, open_clip_tokenizer
from sensorium.pretrained.family import (
    OPEN_CLIP,
    OPEN_CLIP_WEIGHTS,
    Described,
    Example,
    Family,
    Folder,
    Json,
    checked,
    said_over,
    the,
)
from sensorium.pretrained.preprocess import TOKENS, dumps, loads, text_field, text_files, tokenizer_of, vocabulary
from sensorium.pretrained.rules import TURNED, Names, Rule, linear, norm, patches

KNOWN = (
    "models of OpenCLIP's own vision and text transformers are known (ViT-B-32, ViT-B-16, ViT-L-14, ViT-H-14, ViT-g-14, "
    "ViT-bigG-14 and their variants, with quick_gelu or without), not towers of timm (SigLIP, EVA, ConvNeXt), ResNets, CoCa, "
    "CLIPA, or texts by a model of Hugging Face. Many of these have a repository in transformers' layout, which is read"
)
VISION: Json = {"layers": 12, "width": 768, "head_width": 64, "mlp_ratio": 4.0, "patch_size": 16, "image_size": 224}
TEXT: Json = {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12, "mlp_ratio": 4.0}
TEXT |= {"pool_type": "argmax", "eos_id": 2, "no_causal_mask": False, "proj_bias": False}
PICTURES: Json = {
    **{"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]},
    **{"mode": "RGB", "interpolation": "bicubic", "resize_mode": "shortest"},
}
"""What OpenCLIP takes for what its files leave out."""
ELSEWHERE = ("timm_model_name", "hf_model_name", "attentional_pool", "embed_cls")
PLAIN: Json = dict.fromkeys(("qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc"), False)
ACTIVATIONS = {"none": "gelu", "tanh": "gelu_pytorch_tanh"}
"""By `approximate` of the act_kwargs."""
RESAMPLE = {"bicubic": 3, "bilinear": 2, "random": 3}
FORMS = {("argmax", False): "clip_openai", ("eos", False): "clip", ("last", True): "siglip"}
"""(pool_type, no_causal_mask) of the texts."""


def describe(folder: Folder) -> Described:
    model = folder.part("model_cfg")
    vision, text = (said_over(default, model.get(name) or {}) for name, default in (("vision_cfg", VISION), ("text_cfg", TEXT)))
    form = _form(folder, model, vision, text)
    size = _pair(vision["image_size"])
    quick, head = bool(model.get("quick_gelu")), bool(text["proj_bias"])
    pictures, pixels = _pictures(folder, size)
    image = {
        **{"encoder": "published_vit", "form": "clip", "size": size, "patch": _square(folder, vision["patch_size"])},
        **{"layers": _layers(vision, vision["width"] // vision["head_width"], quick), "pixels": pixels},
    }
    texts = {
        **{"encoder": "published_text", "form": form, "end": text["eos_id"], "head": model["embed_dim"] if head else 0},
        **{"vocabulary": text["vocab_size"], "length": text["context_length"], "layers": _layers(text, text["heads"], quick)},
    }
    arguments = {"encoders": {"image": image, "text": texts}, "width": model["embed_dim"], "bare": ["text"] if head else []}
    arguments |= {"bias": float(model["init_logit_bias"])} if model.get("init_logit_bias") is not None else {}
    return Described(arguments, (pictures, _texts(folder, text)))


def _form(folder: Folder, model: Json, vision: Json, text: Json) -> str:
    """The form of the texts; a `BadFile` where anything is asked for that is not computed here."""
    if not isinstance(model.get("embed_dim"), int):
        raise BadFile(f"{folder.where}: expected an object model_cfg, with embed_dim, vision_cfg and text_cfg")
    odd = [name for name in ELSEWHERE if vision.get(name) or text.get(name)]
    odd += ["multimodal_cfg"] if model.get("multimodal_cfg") else []
    odd += ["layers of a ResNet"] if isinstance(vision["layers"], list) else []
    if odd:
        raise BadFile(f"{folder.where}: {', '.join(odd)}: {KNOWN}")
    checked(folder.where, vision, **PLAIN, no_ln_pre=False, pool_type="tok")
    checked(folder.where, text, **PLAIN, proj_type="linear")
    checked(folder.where, model, nonscalar_logit_scale=False)
    form = FORMS.get((text["pool_type"], text["no_causal_mask"]))
    if form is None:
        mask = "without" if text["no_causal_mask"] else "with"
        raise BadFile(f"{folder.where}: texts are pooled by {text['pool_type']!r} {mask} a causal mask: {KNOWN}")
    for name, said in (("vision_cfg", vision), ("text_cfg", text)):
        acts, norms = said.get("act_kwargs") or {}, said.get("norm_kwargs") or {}
        if acts.keys() - {"approximate"} or acts.get("approximate", "none") not in ACTIVATIONS or norms.keys() - {"eps"}:
            asked = f"act_kwargs of {name} are {acts}, norm_kwargs {norms}"
            raise BadFile(f"{folder.where}: {asked}; known are approximate ({', '.join(ACTIVATIONS)}) and eps")
    return form


def _layers(said: Json, heads: int, quick: bool) -> Json:
    plain = ACTIVATIONS[(said.get("act_kwargs") or {}).get("approximate", "none")]
    return {
        **{"width": said["width"], "depth": said["layers"], "heads": heads, "hidden": int(said["width"] * said["mlp_ratio"])},
        **{"activation": "quick_gelu" if quick else plain, "eps": (said.get("norm_kwargs") or {}).get("eps", 1e-5)},
        "layer_scale": said.get("ls_init_value") is not None,
    }


def _pictures(folder: Folder, size: list[int]) -> tuple[Picture, Json]:
    said = said_over(PICTURES, folder.part("preprocess_cfg"))
    checked(folder.where, said, mode="RGB")
    if said["interpolation"] not in RESAMPLE or said["resize_mode"] not in ("shortest", "squash"):
        asked = f"interpolation {said['interpolation']!r}, resize_mode {said['resize_mode']!r}"
        raise BadFile(f"{folder.where}: {asked}; known are bicubic and bilinear, shortest and squash")
    resample = RESAMPLE[said["interpolation"]]
    if said["resize_mode"] == "squash":
        processing = Processing(size, resample, ())
    elif size[0] == size[1]:
        processing = Processing(size[:1], resample, size, "open_clip")
    else:
        raise BadFile(f"{folder.where}: pictures of {size[0]}×{size[1]} cut out of the shortest side; known is that of squares")
    mean, std = ([float(x) for x in _three(said[name])] for name in ("mean", "std"))
    return Picture("image", processing), {"scale": 1 / 255, "mean": mean, "std": std}


def _texts(folder: Folder, said: Json) -> Text:
    length, dials = said["context_length"], said.get("tokenizer_kwargs") or {}
    if other := sorted(dials.keys() - {"clean"}) + ["tokenizer_mode"] * bool(said.get("tokenizer_mode")):
        raise BadFile(f"{folder.where}: {', '.join(other)} of its tokenizer: {KNOWN}")
    if said.get("hf_tokenizer_name"):
        field = text_field(folder, length, "<pad>", _tokens(folder), exactly=True)
        return replace(field, pieces=replace(pieces_of(field.pieces), clean=dials.get("clean", "whitespace")))
    old = not (folder.path / TOKENS).is_file() and (folder.path / "vocab.json").is_file()
    made = clip_tokenizer(folder.path) if old else _tokens(folder)
    known = vocabulary(made)
    if made["model"].get("type") != "BPE" or not {END, OPEN_END} & known.keys():
        raise BadFile(f"{folder.path / TOKENS}: not CLIP's pieces: it has to be the one of openai/clip-vit-large-patch14")
    text = Pieces("library", dumps(open_clip_tokenizer(made, length)), dials.get("clean", "lower"))
    return Text("text", (), "", length, text)


def _tokens(folder: Folder) -> Json:
    if not (folder.path / TOKENS).is_file():
        raise BadFile(
            f"{folder.path}: lacks {TOKENS}, or vocab.json and merges.txt: the pieces of texts lie within the library OpenCLIP, "
            f"not in its checkpoints. Copy {TOKENS} from the model's repository, or from openai/clip-vit-large-patch14 where "
            "open_clip_config.json names no hf_tokenizer_name"
        )
    return loads(read(folder.path / TOKENS))


def layer_rules(ours: str, theirs: str) -> list[Rule]:
    """Queries, keys and values are one array."""
    a, b, rules = f"{ours}.layers.{{}}", f"{theirs}.resblocks.{{}}", []
    for i, part in enumerate(("query", "key", "value")):
        rules += [
            Rule(f"{a}.{part}.kernel", f"{b}.attn.in_proj_weight[{i}/3]", TURNED),
            Rule(f"{a}.{part}.bias", f"{b}.attn.in_proj_bias[{i}/3]"),
        ]
    rules += [
        *linear(f"{a}.out", f"{b}.attn.out_proj"),
        *linear(f"{a}.up", f"{b}.mlp.c_fc"),
        *linear(f"{a}.down", f"{b}.mlp.c_proj"),
    ]
    for part, i in (("attention", 1), ("perceptron", 2)):
        rules += [*norm(f"{a}.norm_{part}", f"{b}.ln_{i}"), Rule(f"{a}.scale_{part}", f"{b}.ls_{i}.gamma")]
    return rules


def names(arguments: Json) -> Names:
    image, text = "encoders.image", "encoders.text"
    rules = [
        *layer_rules(image, "visual.transformer"),
        *layer_rules(text, "transformer"),
        Rule(f"{image}.first", "visual.class_embedding"),
        Rule(f"{image}.patches.kernel", "visual.conv1.weight", patches(arguments["encoders"]["image"]["patch"])),
        Rule(f"{image}.positions", "visual.positional_embedding"),
        *norm(f"{image}.norm_before", "visual.ln_pre"),
        *norm(f"{image}.norm", "visual.ln_post"),
        Rule(f"{text}.table", "token_embedding.weight"),
        Rule(f"{text}.positions", "positional_embedding"),
        *norm(f"{text}.norm", "ln_final"),
        *linear(f"{text}.head", "text_projection"),
        Rule("projections.image.kernel", "visual.proj"),
        Rule("projections.text.kernel", "text_projection"),
        Rule("log_scale", "logit_scale"),
        Rule("bias", "logit_bias"),
    ]
    return Names(rules, idle=("attn_mask", "input_resolution", "context_length", "vocab_size"), renamed=_bare)


def _bare(name: str) -> str:
    """Models with `custom_text` have a prefix before the names of the texts; OpenCLIP reads them with it and without."""
    return name.removeprefix("text.")


def files(arguments: Json, fields: tuple[Modality, ...]) -> dict[str, Json]:
    image, text = arguments["encoders"]["image"], arguments["encoders"]["text"]
    pictures, texts = the(fields, Picture), the(fields, Text)
    quick = {part["layers"]["activation"] == "quick_gelu" for part in (image, text)}
    if len(quick) > 1:
        raise ValueError("OpenCLIP has quick_gelu in both towers, or in neither")
    asked = {form: said for said, form in FORMS.items()}
    if text["form"] not in asked:
        raise ValueError(f"OpenCLIP pools texts in the forms {', '.join(asked)}, not {text['form']!r}")
    pool, free = asked[text["form"]]
    vision_cfg = {"image_size": image["size"] if image["size"][0] != image["size"][1] else image["size"][0]}
    vision_cfg |= {"patch_size": image["patch"], "head_width": image["layers"]["width"] // image["layers"]["heads"]}
    text_cfg = {"context_length": text["length"], "vocab_size": text["vocabulary"], "heads": text["layers"]["heads"]}
    text_cfg |= {"pool_type": pool, "no_causal_mask": free, "eos_id": text["end"], "proj_bias": bool(text["head"])}
    model: Json = {"embed_dim": arguments["width"], "quick_gelu": quick.pop()}
    model |= {"vision_cfg": vision_cfg | _layers_said(image["layers"])}
    model |= {"text_cfg": text_cfg | _layers_said(text["layers"]) | _tokens_said(texts)}
    model |= {"init_logit_bias": arguments["bias"]} if arguments.get("bias") is not None else {}
    processing = processing_of(pictures.processing)
    if processing.resample not in RESAMPLE.values():
        raise ValueError(f"OpenCLIP resizes by {', '.join(RESAMPLE)}, not by Pillow's filter {processing.resample}")
    pixels = {
        **{"size": image["size"], "mode": "RGB", "mean": image["pixels"]["mean"], "std": image["pixels"]["std"]},
        "interpolation": next(name for name, number in RESAMPLE.items() if number == processing.resample),
        "resize_mode": "shortest" if processing.crop else "squash",
    }
    return {
        OPEN_CLIP: {"model_cfg": model, "preprocess_cfg": pixels},
        **text_files(texts, "PreTrainedTokenizerFast", cleaned=True),
    }


def _layers_said(said: Json) -> Json:
    """`_layers`, the other way round."""
    acts = {"act_kwargs": {"approximate": "tanh"}} if said["activation"] == "gelu_pytorch_tanh" else {}
    scale = {"ls_init_value": 1e-5} if said["layer_scale"] else {}
    out = {"width": said["width"], "layers": said["depth"], "mlp_ratio": _ratio(said["hidden"], said["width"])}
    return out | {"norm_kwargs": {"eps": said["eps"]}} | acts | scale


def _ratio(hidden: int, width: int) -> float:
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else (hidden + 0.5) / width


def _tokens_said(field: Text) -> Json:
    clean = {"tokenizer_kwargs": {"clean": pieces_of(field.pieces).clean}}
    if OPEN_END in vocabulary(tokenizer_of(field, cleaned=True)):
        return clean
    # OpenCLIP takes the folder itself for it; in a repository of the Hub its id has to stand here.
    return clean | {"hf_tokenizer_name": "."}


def _pair(size: Any) -> list[int]:
    return [size, size] if isinstance(size, int) else list(size)


def _square(folder: Folder, size: Any) -> int:
    height, width = _pair(size)
    if height != width:
        raise BadFile(f"{folder.where}: patches of {height}×{width}; only squares are known here")
    return height


def _three(said: Any) -> list[float]:
    return list(said) if isinstance(said, list) else [said] * 3


OPEN_CLIP_FAMILY = Family(
    name="open_clip",
    types=("open_clip",),
    architectures=(),
    examples=(
        Example("laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K", 149.6, "MIT"),
        Example("laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K", 427.6, "MIT"),
        Example("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", 986.1, "MIT"),
    ),
    describe=describe,
    names=names,
    files=files,
    config=OPEN_CLIP,
    weights=OPEN_CLIP_WEIGHTS,
    gives="pictures and texts in one space, in OpenCLIP's own layout",
    library="open_clip",
)
