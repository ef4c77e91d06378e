"""References of BLIP: captions and answers, all places at once and word by word."""

from pathlib import Path
from typing import Any

from pretrained.making.common import perturb, pictures, save_numbers, several, torch, transformers

PROMPT = "a photo of"
WORDS, ANSWER_WORDS, BEAMS = 10, 8, 3
"""The most that are written; the beams of the search."""
ANSWERS = ("cat", "the photo of a cat", "a", "hello cat", "z9", "the")
TOLD = [
    *("a photo of a cat", "the cat", "hello hello", "a photo of the hello cat , of a photo of the cat", "", "cat photo cat"),
    *("the 猫 of 9", "of of", "a photo of the cat", "hello cat !", "a cat , a photo , the cat , a cat , a photo"),
]
"""What the pictures' own texts are tuned towards: of different lengths, and some longer than what is written."""
KNOWN_PIECES = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *"abcdefghijklmnopqrstuvwxyz0123456789!',.",
    *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789"),
    *("cat", "photo", "the", "of", "hello", "##orld", "猫", "שלום"),
]


def config(hf: Any, marks: dict[str, int], width: int) -> Any:
    """`width`: of the pictures' encoder; that of answers has to be as wide as the texts are."""
    text = {
        **{"vocab_size": len(KNOWN_PIECES) + 2, "hidden_size": 20, "num_hidden_layers": 2, "num_attention_heads": 5},
        **{"intermediate_size": 28, "max_position_embeddings": 24, "hidden_act": "gelu_new", "layer_norm_eps": 1e-3, **marks},
    }
    vision = {
        "hidden_size": width,
        "intermediate_size": 22,
        "num_hidden_layers": 2,
        "num_attention_heads": 3 if width == 24 else 4,
    }
    vision |= {"image_size": 17, "patch_size": 5, "layer_norm_eps": 1e-2}
    return hf.BlipConfig(text_config=text, vision_config=vision)


def tune(model: Any, told: Any, steps: int, **given: Any) -> None:
    """Some steps towards telling each picture its own text, as a random model says one word for ever, and the same of all."""
    t = torch()
    ids, kept = begun(told["input_ids"], model), told["attention_mask"].bool()
    moved = t.optim.Adam(model.parameters(), 0.02)
    for _ in range(steps):
        moved.zero_grad()
        about = context(model, **given)
        said = model.text_decoder(ids, attention_mask=told["attention_mask"], **about).logits[:, :-1]
        t.nn.functional.cross_entropy(said[kept[:, 1:]], told["input_ids"][:, 1:][kept[:, 1:]]).backward()
        moved.step()


def context(model: Any, pixels: Any, question: Any = None) -> dict[str, Any]:
    """What the decoder writes about."""
    patches = model.vision_model(pixel_values=pixels).last_hidden_state
    if question is None:
        return {"encoder_hidden_states": patches}
    seen = question["attention_mask"]
    read = model.text_encoder(question["input_ids"], attention_mask=seen, encoder_hidden_states=patches)
    return {"encoder_hidden_states": read.last_hidden_state, "encoder_attention_mask": seen}


def save(folder: Path, model: Any, tokenizer: Any, hf: Any) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor(hf).save_pretrained(folder)


def processor(hf: Any) -> Any:
    return hf.BlipImageProcessorPil(size={"height": 17, "width": 17})


def blip(folder: Path, seed: int = 27, steps: int = 400) -> None:
    """Its tokenizer does not know the mark that begins a caption, as that of Salesforce/blip-image-captioning-base."""
    hf = transformers()
    marks = {"bos_token_id": len(KNOWN_PIECES), "sep_token_id": 3, "pad_token_id": 0, "eos_token_id": 2}
    model = hf.BlipForConditionalGeneration(config(hf, marks, 24))
    perturb(model, seed)
    tokenizer = hf.BertTokenizer(vocab={piece: i for i, piece in enumerate(KNOWN_PIECES)}, model_max_length=13)
    told = tokenizer(TOLD, padding="max_length", truncation=True, return_tensors="pt")
    tune(model, told, steps, pixels=processor(hf)(pictures(), return_tensors="pt")["pixel_values"])
    save(folder, model, tokenizer, hf)
    save_numbers(folder, blip_numbers(folder, torch(), hf))


def blip_numbers(folder: Path, t: Any, hf: Any) -> dict[str, Any]:
    model, tokenizer = hf.BlipForConditionalGeneration.from_pretrained(folder).eval(), hf.AutoTokenizer.from_pretrained(folder)
    pixels = hf.BlipImageProcessorPil.from_pretrained(folder)(pictures(), return_tensors="pt")["pixel_values"]
    read = tokenizer(several(len(pixels)), padding="max_length", truncation=True, return_tensors="pt")
    ids = begun(read["input_ids"], model)
    prompt = tokenizer([PROMPT] * len(pixels), return_tensors="pt")["input_ids"]
    with t.no_grad():
        vision = model.vision_model(pixel_values=pixels, output_hidden_states=True)
        about = {"encoder_hidden_states": vision.last_hidden_state}
        said = model.text_decoder(ids, attention_mask=read["attention_mask"], output_hidden_states=True, **about)
        out = model(pixel_values=pixels, input_ids=ids, attention_mask=read["attention_mask"])
        assert (out.logits == said.logits).all()
        dials = {"do_sample": False, "max_new_tokens": WORDS}
        searched = dials | {"num_beams": BEAMS, "length_penalty": 0.0, "return_dict_in_generate": True, "output_scores": True}
        plain = model.generate(pixels, **dials)
        prompted = model.generate(pixels, input_ids=prompt.clone(), **dials)
        found = model.generate(pixels, **searched)
    return picture_numbers(pixels, vision) | {
        "given/text": read["input_ids"],
        "given/text/mask": read["attention_mask"].bool(),
        **{f"text/layers/{i}": x for i, x in enumerate(said.hidden_states)},
        "text/logits": shifted(out.logits),
        "caption/ids": filled(plain, WORDS + 1),
        "caption/texts": tokenizer.batch_decode(plain, skip_special_tokens=True),
        "caption/prompted": filled(prompted, WORDS + prompt.shape[1] - 1),
        "caption/prompted_texts": tokenizer.batch_decode(prompted, skip_special_tokens=True),
        "caption/beams": ended(filled(found.sequences, WORDS + 1)),
        "caption/beam_scores": found.sequences_scores,
    }


def blip_vqa(folder: Path, seed: int = 25, steps: int = 400) -> None:
    """Its tokenizer knows the marks that begin answers and questions."""
    hf = transformers()
    tokenizer = hf.BertTokenizer(vocab={piece: i for i, piece in enumerate(KNOWN_PIECES)}, model_max_length=13)
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    tokenizer.add_tokens(["[ENC]"], special_tokens=True)
    marks = {"bos_token_id": tokenizer.bos_token_id, "sep_token_id": 3, "pad_token_id": 0, "eos_token_id": 2}
    model = hf.BlipForQuestionAnswering(config(hf, marks, 20))
    perturb(model, seed)
    pixels = processor(hf)(pictures(), return_tensors="pt")["pixel_values"]
    told, question = (
        tokenizer(x, padding="max_length", truncation=True, return_tensors="pt") for x in (TOLD, several(len(pixels)))
    )
    tune(model, told, steps, pixels=pixels, question=question)
    save(folder, model, tokenizer, hf)
    save_numbers(folder, blip_vqa_numbers(folder, torch(), hf))


def blip_vqa_numbers(folder: Path, t: Any, hf: Any) -> dict[str, Any]:
    """Row by row, each question without filling: transformers 5.23 lets the decoder look at the filling of a question, as it
    does not hand `encoder_attention_mask` on to the layers."""
    model, tokenizer = hf.BlipForQuestionAnswering.from_pretrained(folder).eval(), hf.AutoTokenizer.from_pretrained(folder)
    pixels = hf.BlipImageProcessorPil.from_pretrained(folder)(pictures(), return_tensors="pt")["pixel_values"]
    asked, told = several(len(pixels)), several(len(pixels))[::-1]
    question, answer = (tokenizer(x, padding="max_length", truncation=True, return_tensors="pt") for x in (asked, told))
    seen, ids = question["attention_mask"], begun(answer["input_ids"], model)
    dials, rows = {"do_sample": False, "max_new_tokens": ANSWER_WORDS}, []
    with t.no_grad():
        patches = model.vision_model(pixel_values=pixels).last_hidden_state
        about = {"encoder_hidden_states": patches, "output_hidden_states": True}
        read = model.text_encoder(question["input_ids"], attention_mask=seen, **about)
        for i, text in enumerate(asked):
            alone = tokenizer([text], truncation=True, return_tensors="pt")["input_ids"]
            row = {"encoder_hidden_states": read.last_hidden_state[i : i + 1, : alone.shape[1]]}
            kept = answer["attention_mask"][i : i + 1]
            said = model.text_decoder(ids[i : i + 1], attention_mask=kept, output_hidden_states=True, **row)
            scores = t.cat([answer_score(model, tokenizer, row, one, t) for one in ANSWERS])
            rows.append((*said.hidden_states, said.logits, model.generate(alone, pixels[i : i + 1], **dials)[0], scores))
    *layers, logits, plain, scores = zip(*rows, strict=True)
    return {
        "given/image": pixels.permute(0, 2, 3, 1),
        "image/tokens": patches,
        "given/question": question["input_ids"],
        "given/question/mask": seen.bool(),
        "given/answer": answer["input_ids"],
        "given/answer/mask": answer["attention_mask"].bool(),
        **{f"question/layers/{i}": x for i, x in enumerate(read.hidden_states)},
        "question/tokens": read.last_hidden_state * seen[..., None],
        **{f"answer/layers/{i}": t.cat(x) for i, x in enumerate(layers)},
        "answer/logits": shifted(t.cat(logits)),
        "answer/ids": t.cat([filled(x[None], ANSWER_WORDS + 1) for x in plain]),
        "answer/texts": tokenizer.batch_decode(plain, skip_special_tokens=True),
        "answer/scores": t.stack(scores),
    }


def answer_score(model: Any, tokenizer: Any, about: dict[str, Any], text: str, t: Any) -> Any:
    """The log-probability of an answer, its end counted."""
    ids = begun(tokenizer([text], return_tensors="pt")["input_ids"], model)
    said = model.text_decoder(ids, **about).logits.log_softmax(-1)
    return t.gather(said[:, :-1], 2, ids[:, 1:, None])[..., 0].sum(1)


def begun(ids: Any, model: Any) -> Any:
    """The mark that a decoder begins with, in the place of [CLS]."""
    ids = ids.clone()
    ids[:, 0] = model.config.text_config.bos_token_id
    return ids


def shifted(logits: Any) -> Any:
    """Of every token given those before it; of the first, nothing."""
    t = torch()
    return t.cat([t.zeros_like(logits[:, :1]), logits[:, :-1]], 1)


def filled(ids: Any, length: int) -> Any:
    return torch().nn.functional.pad(ids, (0, length - ids.shape[1]))


def ended(ids: Any, end: int = 3) -> Any:
    """Nothing after the end, where a search leaves what it likes."""
    return ids * ((ids == end).cumsum(1) - (ids == end).long() == 0)


def picture_numbers(pixels: Any, vision: Any) -> dict[str, Any]:
    numbers = {f"image/layers/{i}": x for i, x in enumerate(vision.hidden_states)}
    return numbers | {
        "given/image": pixels.permute(0, 2, 3, 1),
        "image/tokens": vision.last_hidden_state,
        "image/pooled": vision.last_hidden_state[:, 0],  # what its other heads read; `pooler_output` is normed once more
    }


KNOWN = {
    "blip": (blip, blip_numbers),
    "blip_vqa": (blip_vqa, blip_vqa_numbers),
}
