"""X-CLIP (Ni et al. 2022): clips and texts in one space, on CLIP's towers; texts are seen in the light of each clip."""

import math

from sensorium.core.protocols import Modality
from sensorium.modalities import Text
from sensorium.modalities.film import Film
from sensorium.pretrained.clip import TEXT, VISION, end_marks, layer_rules, layers, layers_said, part
from sensorium.pretrained.family import Described, Example, Family, Folder, Json, checked, said_over, the
from sensorium.pretrained.films import film_field
from sensorium.pretrained.preprocess import picture_files, text_field, text_files, tokenizer_of
from sensorium.pretrained.rules import LEADING, TURNED, Names, Rule, linear, norm, patches
from sensorium.pretrained.videomae import CLIPS

TEXTS = TEXT | {"eos_token_id": 2}
CLIP_VISION = VISION | {
    **{"num_frames": 8, "mit_hidden_size": 512, "mit_intermediate_size": 2048},
    **{"mit_num_hidden_layers": 1, "mit_num_attention_heads": 8},
}
PROMPTS = {"prompt_layers": 2, "prompt_hidden_act": "quick_gelu", "prompt_num_attention_heads": 8, "projection_dim": 512}
"""What the classes of transformers take for what their files leave out."""


def describe(folder: Folder) -> Described:
    text, vision = part(folder, "text_config", TEXTS), part(folder, "vision_config", CLIP_VISION)
    said = said_over(PROMPTS, folder.config)
    checked(folder.where, vision, num_channels=3, mit_hidden_size=said["projection_dim"])
    clips, pixels = film_field(folder, CLIPS, vision["num_frames"], [vision["image_size"]] * 2)
    texts = text_field(folder, text["max_position_embeddings"], "<|endoftext|>")
    over = {key: vision[f"mit_{key}"] for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")}
    encoders = {
        "video": {
            **{"encoder": "published_xclip", "size": vision["image_size"], "frames": vision["num_frames"]},
            **{"patch": vision["patch_size"], "layers": layers(vision), "over": layers(vision | over), "pixels": pixels},
            "prompts": {
                **{"depth": said["prompt_layers"], "heads": said["prompt_num_attention_heads"]},
                **{"activation": said["prompt_hidden_act"], "eps": text["layer_norm_eps"]},
            },
        },
        # Whatever the configuration says, transformers takes the largest id for the end mark.
        "text": {
            **{"encoder": "published_text", "form": "clip_openai", "end": text["eos_token_id"]},
            **{"vocabulary": text["vocab_size"], "length": text["max_position_embeddings"], "layers": layers(text)},
        },
    }
    return Described({"encoders": encoders, "width": said["projection_dim"], "bare": ["video"]}, (clips, texts))


def names(arguments: Json) -> Names:
    video, text, vision, texts = "encoders.video", "encoders.text", "vision_model", "text_model"
    layer, theirs = f"{video}.layers.{{}}", f"{vision}.encoder.layers.{{}}"
    own = [Rule(_own(rule.ours), rule.theirs, rule.layout) for rule in layer_rules(video, vision)]
    rules = [
        *own,
        *layer_rules(f"{video}.over", "mit"),
        *layer_rules(text, texts),
        *linear(f"{layer}.message", f"{theirs}.message_fc"),
        *norm(f"{layer}.norm_message", f"{theirs}.message_ln"),
        *(
            rule
            for a, b in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"), ("out", "out_proj"))
            for rule in linear(f"{layer}.mix.{a}", f"{theirs}.message_attn.{b}")
        ),
        Rule(f"{video}.first", f"{vision}.embeddings.class_embedding"),
        Rule(
            f"{video}.patches.kernel",
            f"{vision}.embeddings.patch_embedding.weight",
            patches(arguments["encoders"]["video"]["patch"]),
        ),
        Rule(f"{video}.positions", f"{vision}.embeddings.position_embedding.weight"),
        *norm(f"{video}.norm_before", f"{vision}.pre_layernorm"),
        *norm(f"{video}.norm", f"{vision}.post_layernorm"),
        Rule(f"{video}.project.kernel", "visual_projection.weight", TURNED),
        Rule(f"{video}.over.positions", "mit.position_embedding", LEADING),
        *prompt_rules(f"{video}.prompts"),
        Rule(f"{text}.table", f"{texts}.embeddings.token_embedding.weight"),
        Rule(f"{text}.positions", f"{texts}.embeddings.position_embedding.weight"),
        *norm(f"{text}.norm", f"{texts}.final_layer_norm"),
        Rule("projections.text.kernel", "text_projection.weight", TURNED),
        Rule("log_scale", "logit_scale"),
    ]
    return Names(rules, idle=("*.embeddings.position_ids",))


def prompt_rules(ours: str) -> list[Rule]:
    layer, theirs = f"{ours}.layers.{{}}", "prompts_generator.decoder.{}"
    return [
        *norm(f"{ours}.norm_seen", "prompts_visual_layernorm"),
        Rule(f"{ours}.project.kernel", "prompts_visual_projection"),
        *norm(f"{ours}.norm", "prompts_generator.layernorm"),
        Rule(f"{ours}.scale", "prompts_generator.alpha"),
        *norm(f"{layer}.norm", f"{theirs}.norm1"),
        *norm(f"{layer}.norm_perceptron", f"{theirs}.norm3"),
        *(
            Rule(f"{layer}.look.{a}.kernel", f"{theirs}.cross_attn.{b}.weight", TURNED)
            for a, b in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"))
        ),
        *linear(f"{layer}.look.out", f"{theirs}.cross_attn.proj"),
        *linear(f"{layer}.perceptron.up", f"{theirs}.mlp.0"),
        *linear(f"{layer}.perceptron.down", f"{theirs}.mlp.3"),
    ]


def files(arguments: Json, fields: tuple[Modality, ...]) -> dict[str, Json]:
    video, text = arguments["encoders"]["video"], arguments["encoders"]["text"]
    texts = the(fields, Text)
    over = layers_said(video["over"])
    vision_config = {
        **{"model_type": "xclip_vision_model", "image_size": video["size"], "patch_size": video["patch"]},
        **{"num_frames": video["frames"], **layers_said(video["layers"])},
        **{f"mit_{key}": value for key, value in over.items() if key not in ("hidden_act", "layer_norm_eps")},
    }
    text_config = {
        **{"model_type": "xclip_text_model", "vocab_size": text["vocabulary"], "max_position_embeddings": text["length"]},
        **{"eos_token_id": text["end"], **layers_said(text["layers"])},
    }
    prompts = video["prompts"]
    config = {
        **{"architectures": ["XCLIPModel"], "model_type": "xclip", "projection_dim": arguments["width"]},
        **{"prompt_layers": prompts["depth"], "prompt_num_attention_heads": prompts["heads"]},
        **{"prompt_hidden_act": prompts["activation"], "logit_scale_init_value": math.log(1 / 0.07)},
        **{"text_config": text_config, "vision_config": vision_config},
    }
    pictures = picture_files(video, the(fields, Film), "VideoMAEImageProcessor")
    return {
        "config.json": config,
        "preprocessor_config.json": pictures | {"processor_class": "XCLIPProcessor"},
        **text_files(texts, "CLIPTokenizer", **end_marks(tokenizer_of(texts))),
    }


def _own(name: str) -> str:
    """What a layer of frames has of a layer of CLIP lies within it."""
    return name.replace(".layers.{}.", ".layers.{}.own.")


XCLIP = Family(
    name="xclip",
    types=("xclip",),
    architectures=("XCLIPModel",),
    examples=(Example("microsoft/xclip-base-patch32", 196.6, "MIT"),),
    describe=describe,
    names=names,
    files=files,
    gives="vectors of clips and texts in one space; which of some texts fits a clip",
)
