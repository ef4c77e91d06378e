"""BLIP (Li et al. 2022): captions of pictures, and answers to questions about them, in the layout that
Salesforce/blip-image-captioning-base and Salesforce/blip-vqa-base have on the Hub."""

from dataclasses import replace

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Modality
from sensorium.modalities import Text
from sensorium.modalities.picture import Picture
from sensorium.pretrained import bert
from sensorium.pretrained.clip import layers, layers_said, part
from sensorium.pretrained.family import Described, Example, Family, Folder, Json, checked, the
from sensorium.pretrained.preprocess import picture_field, picture_files, text_field, text_files
from sensorium.pretrained.rules import FLAT, LEADING, TURNED, Names, Rule, linear, norm, patches

SHARED = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "hidden_act": "gelu"}
TEXT = SHARED | {
    **{"vocab_size": 30524, "num_attention_heads": 8, "max_position_embeddings": 512, "layer_norm_eps": 1e-12},
    **{"bos_token_id": 30522, "sep_token_id": 102, "pad_token_id": 0, "eos_token_id": 2},
}
VISION = SHARED | {"num_attention_heads": 12, "image_size": 384, "patch_size": 16, "layer_norm_eps": 1e-5}
PICTURES: Json = {
    **{"do_resize": True, "size": {"height": 384, "width": 384}, "resample": 3, "do_center_crop": False, "crop_size": 384},
    **{"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True},
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
"""What the classes of transformers take for what their files leave out; the models that are published have 12 heads, not 8."""
CAPTIONS, ANSWERS = "BlipForConditionalGeneration", "BlipForQuestionAnswering"
ABOUT = {f"context_{part}": f"crossattention.self.{part}" for part in ("query", "key", "value")}
ABOUT |= {"context_out": "crossattention.output.dense", "norm_context": "crossattention.output.LayerNorm"}
TEXT_PARTS = bert.PARTS | ABOUT
WRITER, READER = "decoder.body", "question.body"


def describe(folder: Folder) -> Described:
    text, vision = part(folder, "text_config", TEXT), part(folder, "vision_config", VISION)
    checked(folder.where, text, is_decoder=True, tie_word_embeddings=True)
    checked(folder.where, vision, num_channels=3)
    size = [vision["image_size"]] * 2
    pictures, pixels = picture_field(folder, PICTURES, True, size)
    texts = text_field(folder, text["max_position_embeddings"], "[PAD]", bert.tokenizer(folder, bert.SPECIALS))
    image = {
        **{"encoder": "published_vit", "form": "vit", "size": size, "patch": vision["patch_size"]},
        **{"layers": layers(vision), "pixels": pixels},
    }
    words = {
        **{"vocabulary": text["vocab_size"], "length": text["max_position_embeddings"], "layers": layers(text)},
        "context_width": vision["hidden_size"],
    }
    arguments = {
        **{"encoders": {"image": image}, "decoder": {"decoder": "published", "form": "blip", **words}},
        **{"start": text["bos_token_id"], "end": text["sep_token_id"], "pad": text["pad_token_id"]},
    }
    if ANSWERS not in (folder.config.get("architectures") or ()):
        return Described(arguments, (pictures, texts), "generator")
    if text["hidden_size"] != vision["hidden_size"]:
        widths = f"{vision['hidden_size']} and {text['hidden_size']} numbers"
        raise BadFile(f"{folder.where}: tokens of pictures and of texts have {widths}; to answer, they have to be as wide")
    fields = (pictures, replace(texts, name="question"), replace(texts, name="answer"))
    return Described(arguments | {"question": words, "target": "answer"}, fields, "generator")


def text_rules(ours: str, theirs: str) -> list[Rule]:
    """The rules of BERT with layers that look at a context."""
    rules = [
        Rule(f"{ours}.table", f"{theirs}.embeddings.word_embeddings.weight"),
        Rule(f"{ours}.positions", f"{theirs}.embeddings.position_embeddings.weight"),
        *norm(f"{ours}.norm_before", f"{theirs}.embeddings.LayerNorm"),
    ]
    for a, b in TEXT_PARTS.items():
        rules += (norm if a.startswith("norm") else linear)(f"{ours}.layers.{{}}.{a}", f"{theirs}.encoder.layer.{{}}.{b}")
    return rules


def picture_rules(patch: int) -> list[Rule]:
    image, vision = "encoders.image", "vision_model"
    ours, theirs = f"{image}.layers.{{}}", f"{vision}.encoder.layers.{{}}"
    rules = [
        Rule(f"{image}.first", f"{vision}.embeddings.class_embedding", FLAT),
        Rule(f"{image}.positions", f"{vision}.embeddings.position_embedding", LEADING),
        Rule(f"{image}.patches.kernel", f"{vision}.embeddings.patch_embedding.weight", patches(patch)),
        Rule(f"{image}.patches.bias", f"{vision}.embeddings.patch_embedding.bias"),
        *norm(f"{image}.norm", f"{vision}.post_layernorm"),
        *norm(f"{ours}.norm_attention", f"{theirs}.layer_norm1"),
        *norm(f"{ours}.norm_perceptron", f"{theirs}.layer_norm2"),
        *linear(f"{ours}.out", f"{theirs}.self_attn.projection"),
        *linear(f"{ours}.up", f"{theirs}.mlp.fc1"),
        *linear(f"{ours}.down", f"{theirs}.mlp.fc2"),
    ]
    for i, name in enumerate(("query", "key", "value")):
        rules.append(Rule(f"{ours}.{name}.kernel", f"{theirs}.self_attn.qkv.weight[{i}/3]", TURNED))
        rules.append(Rule(f"{ours}.{name}.bias", f"{theirs}.self_attn.qkv.bias[{i}/3]"))
    return rules


def names(arguments: Json) -> Names:
    head = "text_decoder.cls.predictions"
    rules = [
        *picture_rules(arguments["encoders"]["image"]["patch"]),
        *text_rules(WRITER, "text_decoder.bert"),
        *text_rules(READER, "text_encoder"),
        *linear("decoder.head.dense", f"{head}.transform.dense"),
        *norm("decoder.head.norm", f"{head}.transform.LayerNorm"),
        Rule("decoder.head.bias", f"{head}.bias"),
    ]
    # The decoder's last layer is the table of words once more, and some files hold it twice.
    return Names(rules, idle=("*.embeddings.position_ids", f"{head}.decoder.weight", f"{head}.decoder.bias"))


def files(arguments: Json, fields: tuple[Modality, ...]) -> dict[str, Json]:
    image, words = arguments["encoders"]["image"], arguments["decoder"]
    texts = next(field for field in fields if isinstance(field, Text))
    vision_config = {
        **{"model_type": "blip_vision_model", "image_size": image["size"][0], "patch_size": image["patch"]},
        **layers_said(image["layers"]),
    }
    text_config = {
        **{"model_type": "blip_text_model", "vocab_size": words["vocabulary"], "max_position_embeddings": words["length"]},
        **{"bos_token_id": arguments["start"], "sep_token_id": arguments["end"], "pad_token_id": arguments["pad"]},
        **{"encoder_hidden_size": words["context_width"], "eos_token_id": TEXT["eos_token_id"], **layers_said(words["layers"])},
    }
    config = {"architectures": [ANSWERS if arguments.get("question") else CAPTIONS], "model_type": "blip"}
    pictures = picture_files(image, the(fields, Picture), "BlipImageProcessor")
    return {
        "config.json": {**config, "text_config": text_config, "vision_config": vision_config},
        "preprocessor_config.json": pictures | {"processor_class": "BlipProcessor"},
        # Its models know no types of tokens, and transformers' own refuse what they do not know.
        **text_files(texts, "BertTokenizer", model_input_names=["input_ids", "attention_mask"], **bert.case_said(texts)),
    }


BLIP = Family(
    name="blip",
    types=("blip",),
    architectures=(CAPTIONS, ANSWERS),
    examples=(
        Example("Salesforce/blip-image-captioning-base", 224.0, "BSD-3-Clause"),
        Example("Salesforce/blip-image-captioning-large", 446.3, "BSD-3-Clause"),
        Example("Salesforce/blip-vqa-base", 361.2, "BSD-3-Clause"),
    ),
    describe=describe,
    names=names,
    files=files,
    gives="captions of pictures, or answers to questions about them",
)
