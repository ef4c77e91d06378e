"""MPNet (Song et al. 2020): BERT's layers, with what they see of each other shifted by how far apart tokens stand."""

from sensorium.core.protocols import Modality
from sensorium.modalities import Text
from sensorium.pretrained.bert import idle, text_encoder, text_encoder_files
from sensorium.pretrained.family import Described, Example, Family, Folder, Json, checked, said_over, the
from sensorium.pretrained.rules import Names, Rule, linear, norm
from sensorium.pretrained.sentence import DENSE, dense_rules
from sensorium.pretrained.vit import layer_rules

DEFAULTS: Json = {"vocab_size": 30527, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
DEFAULTS |= {"intermediate_size": 3072, "hidden_act": "gelu", "max_position_embeddings": 512, "layer_norm_eps": 1e-12}
PARTS = {"query": "attention.attn.q", "key": "attention.attn.k", "value": "attention.attn.v", "out": "attention.attn.o"}
PARTS |= {"up": "intermediate.dense", "down": "output.dense"}
PARTS |= {"norm_attention": "attention.LayerNorm", "norm_perceptron": "output.LayerNorm"}
SPECIALS = ("<pad>", "[UNK]", "<s>", "</s>", "<mask>")
PAD, DISTANCES = 1, 32
"""Written into its code: positions are counted from the id of pads, and there are so many kinds of distances."""


def describe(folder: Folder) -> Described:
    said = said_over(DEFAULTS, folder.config)
    checked(folder.where, said, relative_attention_num_buckets=DISTANCES, is_decoder=False)
    text, field = text_encoder(folder, said, ("pooler.dense.weight", "mpnet.pooler.dense.weight"), SPECIALS, PAD + 1)
    text |= {"pad": PAD, "distances": DISTANCES}
    return Described({"encoders": {"text": text}, "width": text.get("head", said["hidden_size"]), "bare": ["text"]}, (field,))


def names(arguments: Json) -> Names:
    text = "encoders.text"
    rules = [
        *layer_rules(text, "", PARTS),
        Rule(f"{text}.table", "embeddings.word_embeddings.weight"),
        Rule(f"{text}.positions", "embeddings.position_embeddings.weight"),
        Rule(f"{text}.distances", "encoder.relative_attention_bias.weight"),
        *norm(f"{text}.norm_before", "embeddings.LayerNorm"),
        *linear(f"{text}.dense", "pooler.dense"),
        *dense_rules(text),
    ]
    return Names(rules, {"log_scale": 0.0}, idle(arguments, "lm_head.*"), _bare)


def _bare(name: str) -> str:
    return name.removeprefix("mpnet.")


def files(arguments: Json, fields: tuple[Modality, ...]) -> dict[str, Json]:
    text = arguments["encoders"]["text"]
    said = {"architectures": ["MPNetModel"], "model_type": "mpnet", "relative_attention_num_buckets": text["distances"]}
    return text_encoder_files(said, text, the(fields, Text), "MPNetTokenizer")


MPNET = Family(
    name="mpnet",
    types=("mpnet",),
    architectures=("MPNetModel", "MPNetForMaskedLM"),
    examples=(
        Example("sentence-transformers/all-mpnet-base-v2", 109.5, "Apache-2.0"),
        Example("microsoft/mpnet-base", 109.5, "MIT"),
    ),
    describe=describe,
    names=names,
    files=files,
    beside=(DENSE,),
    gives="vectors of tokens and of sentences",
)
