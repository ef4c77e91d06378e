"""SigLIP 2 with pictures in their own proportions (Tschannen et al. 2025: NaFlex). Those of a fixed resolution are SigLIP's."""

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Modality
from sensorium.modalities import Text
from sensorium.modalities.picture_patches import Patches
from sensorium.pretrained.clip import layers, layers_said, part
from sensorium.pretrained.family import Described, Example, Family, Folder, Json, checked, said_over, the
from sensorium.pretrained.preprocess import PICTURES, pixels_said, ready_said
from sensorium.pretrained.rules import TURNED, Names
from sensorium.pretrained.siglip import SHARED, rules_of, text_part, text_part_files

VISION = SHARED | {"num_channels": 3, "patch_size": 16, "num_patches": 256, "vision_use_head": True}
PROCESSOR: Json = {
    **{"do_resize": True, "resample": 2, "patch_size": 16, "max_num_patches": 256, "do_rescale": True},
    **{"rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
}


def describe(folder: Folder) -> Described:
    vision = part(folder, "vision_config", VISION)
    checked(folder.where, vision, num_channels=3, vision_use_head=True)
    where, said = ready_said(folder, "pictures", [PICTURES], ["image_processor"])
    said = said_over(PROCESSOR, said)
    checked(where, said, do_resize=True)
    if said["patch_size"] != vision["patch_size"]:
        raise BadFile(f"{where}: patches of {said['patch_size']}, where the model is built for {vision['patch_size']}")
    image = {
        **{"encoder": "published_patches", "places": vision["num_patches"], "patch": vision["patch_size"]},
        **{"layers": layers(vision), "pixels": pixels_said(said)},
    }
    pictures = Patches("image", vision["patch_size"], said["max_num_patches"], int(said["resample"]))
    text, texts = text_part(folder, vision["hidden_size"], "Siglip2Tokenizer")
    arguments = {"encoders": {"image": image, "text": text}, "width": text["head"], "bare": ["image", "text"], "bias": -10.0}
    return Described(arguments, (pictures, texts))


def names(arguments: Json) -> Names:
    return Names(rules_of(TURNED), idle=("*.embeddings.position_ids",))


def files(arguments: Json, fields: tuple[Modality, ...]) -> dict[str, Json]:
    image, text = arguments["encoders"]["image"], arguments["encoders"]["text"]
    pictures, pixels = the(fields, Patches), image["pixels"]
    vision_config = {
        **{"model_type": "siglip2_vision_model", "num_patches": image["places"], "patch_size": image["patch"]},
        **layers_said(image["layers"]),
    }
    text_config, beside = text_part_files(text, the(fields, Text), "siglip2_text_model")
    processor = {
        **{"image_processor_type": "Siglip2ImageProcessor", "do_convert_rgb": True, "do_resize": True, "do_rescale": True},
        **{"resample": pictures.resample, "patch_size": pictures.patch, "max_num_patches": pictures.most},
        **{"rescale_factor": pixels["scale"], "do_normalize": True},
        **{"image_mean": list(pixels["mean"]), "image_std": list(pixels["std"])},
    }
    config = {
        "architectures": ["Siglip2Model"],
        "model_type": "siglip2",
        "text_config": text_config,
        "vision_config": vision_config,
    }
    return {"config.json": config, PICTURES: processor, **beside}


NAFLEX = Family(
    name="siglip2",
    types=("siglip2",),
    architectures=("Siglip2Model",),
    examples=(
        Example("google/siglip2-base-patch16-naflex", 375.2, "Apache-2.0"),
        Example("google/siglip2-so400m-patch16-naflex", 1135.7, "Apache-2.0"),
    ),
    describe=describe,
    names=names,
    files=files,
    gives="pictures of any shape and texts in one space",
)
