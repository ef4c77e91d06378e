"""What a user holds: a model with its senses. Raw things in, unit vectors out; saved to and loaded from a directory."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float

from sensorium.core.batch import Batch, pad
from sensorium.core.encoding import Encoder, Labelled, Prompting
from sensorium.core.errors import UnknownName, nearest
from sensorium.core.protocols import Modality, Raw
from sensorium.data.folder import opened
from sensorium.data.ready import batched, begun, cuts, listed, prepared, read
from sensorium.decoders import Drawing, Sampling
from sensorium.encoders import PublishedText
from sensorium.modalities import BadRaw
from sensorium.models import AnyToAny, Generator, Maker, Model, Space, given, looking
from sensorium.models.describing import DRAWS, Description, described
from sensorium.models.making import Doing, Making
from sensorium.models.shares import directions, softmax
from sensorium.models.spoken import Tellers
from sensorium.models.summarizing import WINDOW, Summary, summarized
from sensorium.models.telling import DRAWN, Telling, Told
from sensorium.models.transcribe import Manner, Progress, Segment, Transcriber
from sensorium.optim.lora import adapted, merge
from sensorium.pretrained.hub import folder_of
from sensorium.pretrained.layouts import read_model, write_own, write_published
from sensorium.pretrained.licence import licence_of, warn_if_not_commercial
from sensorium.pretrained.model_card import About, Origin, library_of, write_card
from sensorium.pretrained.own import LIBRARY as OWN
from sensorium.pretrained.own import configuration
from sensorium.training import Card
from sensorium.training.weights import arrays


class Sensorium:
    """A model and the fields that it reads. `encode` goes through one compiled function for each field and size of batch.

    `fields`: all, but that of an `AnyToAny`'s plans, of which it has no vectors; `field` knows it too. `family`: of which family
    of published checkpoints it is (see `sensorium.pretrained`), None for a model of the house.
    """

    def __init__(self, model: Model, fields: Sequence[Modality], card: Card, family: str | None = None):
        self.model, self.card, self.family, self._every = model, card, family, tuple(fields)
        plan = model.planner.target if isinstance(model, AnyToAny) and model.planner else None
        self.fields = tuple(field for field in self._every if field.name != plan)
        self.origin = Origin()
        self.traces, self._fingerprint = 0, ""
        self._transcriber: Transcriber | None = None
        self._told = Tellers(model, fields)
        graph, state = nnx.split(model)
        leaves, tree = jax.tree.flatten(state)

        def units(leaves: list[jax.Array], batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
            self.traces += 1
            outputs = nnx.merge(graph, jax.tree.unflatten(tree, leaves))(batch)
            return {key: value for key, value in outputs.items() if key.endswith("/unit")}

        def some(leaves: list[jax.Array], batch: dict[str, jax.Array], end: str) -> dict[str, jax.Array]:
            outputs = nnx.merge(graph, jax.tree.unflatten(tree, leaves)).all_outputs(batch)
            return {key: value for key, value in outputs.items() if key.endswith(end)}

        self._leaves, self._units, self._some = leaves, jax.jit(units), jax.jit(some, static_argnames="end")

    def update(self, model: Model) -> None:
        """Takes the parameters of another model of the same card, without compiling anything anew."""
        self.model, self._leaves, self._fingerprint = model, jax.tree.leaves(nnx.state(model)), ""

    @property
    def modalities(self) -> tuple[str, ...]:
        """The names of the fields that `encode` takes."""
        return tuple(field.name for field in self.fields)

    def supports(self, name: str) -> bool:
        return name in self.modalities

    def field(self, name: str) -> Modality:
        """The field of a name; an `UnknownName` that lists those there are."""
        for field in self._every:
            if field.name == name:
                return field
        raise UnknownName(f"this model has no field {name!r}.{nearest(name, self.modalities)}")

    def encode(self, **raws: Raw | list[Raw]) -> dict[str, Float[np.ndarray, "N D"]]:
        """Unit vectors of raw things: `encode(image=["a.png", pil], text="a cat")` -> `{"image": f32[2 D], "text": f32[1 D]}`.

        What a field takes is said by its modality's `prepare`: a string is a text or a path, a sound is a path or an
        (array, rate) pair. A list is several things. Equal things get equal vectors, whatever is encoded beside them, but for
        the rounding of batches of other sizes (some 1e-7).
        """
        return {name: self._encode(self.field(name), listed(raw)) for name, raw in raws.items()}

    def similarity(self, a: Float[np.ndarray, "N D"], b: Float[np.ndarray, "M D"]) -> Float[np.ndarray, "N M"]:
        """Cosines of every row of `a` with every row of `b` (both of unit length, as `encode` gives them)."""
        return given.cosines(a, b)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes that the model itself tells apart; () where it has none."""
        return next((encoder.labels for _, encoder in self._labelled()), ())

    def classify(
        self,
        things: Raw | list[Raw] = None,
        labels: Sequence[str] | None = None,
        templates: Sequence[str] | None = None,
        **named: Raw | list[Raw],
    ) -> Float[np.ndarray, "N labels"]:
        """How likely each label is for each thing, rows of sum 1: `classify(["cat.jpg"])`, or by name `classify(video="a.mp4")`.

        Without `labels`, those that the model was trained to tell apart (`self.labels`). With them, without training (Radford et
        al. 2021, section 3.1): every label is put into every template ("a photo of a {}." for pictures), the direction of a label
        is the mean of its unit vectors (ibid., 3.1.4), and what is multiplied before the softmax is the scale that the model
        learned. Where texts are seen in the light of each thing (X-CLIP), the scores of the templates are averaged instead.
        """
        field, raws = self._asked(things, named)
        if labels is None:
            own = dict(self._labelled()).get(field.name)
            if own is None or templates is not None:
                told = "templates without labels" if own else f"the model has no labels of its own for {field.name!r}"
                raise BadRaw(f"classify: {told}: give labels")
            return softmax(np.concatenate([np.zeros((0, len(own.labels)), np.float32), *self._parts(field, raws, "/logits")]))
        templates = given.TEMPLATES.get(field.kind, ("{}",)) if templates is None else templates
        texts = given.prompts(labels, templates)
        if not isinstance(self.model, Space):
            raise BadRaw("classify: no directions of labels, as this model writes texts instead of encoding them")
        encoder = self.model.encoders[field.name]
        if isinstance(encoder, Prompting) and encoder.prompts is not None:
            found = self._parts(field, raws, "similarity", self.prepare(text=texts))
            scores = np.concatenate([np.zeros((0, len(texts)), np.float32), *found])
            return softmax(scores.reshape(len(raws), len(labels), len(templates)).mean(axis=2))
        cosines = self._encode(field, raws) @ directions(self.encode(text=texts)["text"], len(labels)).T
        return softmax(cosines * np.exp(np.asarray(self.model.log_scale[...])))

    def outputs(self, **arrays: np.ndarray | jax.Array) -> dict[str, np.ndarray]:
        """What the model makes of arrays that are prepared already: for those who compare it with another.

        `image=` pixels u8[B H W 3], or f32 as the reference model takes them, channels last; `text=` ids, `**{"text/mask": …}`
        bool. It gives `"<field>/tokens"`, `…/pooled`, `…/features`, `…/unit`, `"scale"`, `"bias"`, `"similarity"` (see
        `Space.all_outputs`). Each shape is compiled once.
        """
        if other := [name for name in arrays if name.partition("/")[0] not in self.modalities]:
            raise UnknownName(f"this model has no field {other[0]!r}.{nearest(other[0], self.modalities)}")
        arrays = {name: jax.numpy.asarray(x) for name, x in given.checked(self.model, arrays).items()}
        return jax.device_get(self._some(self._leaves, arrays, ""))

    def prepare(self, **raws: Raw | list[Raw]) -> Batch:
        """The arrays that the fields make of raw things, as `outputs` takes them: `prepare(text="a cat")` -> `{"text": i32[1 L],
        "text/mask": bool[1 L]}`."""
        out: Batch = {}
        for name, raw in raws.items():
            out |= read(prepared(self.field(name), listed(raw)))
        return out

    def attention(self, image: Raw | list[Raw], rollout: bool = False) -> Float[np.ndarray, "N heads h w"]:
        """Where the encoder of pictures looks: a map over its patches for each head (see `models.looking.attention`), or one
        for all layers (`rollout`). A `ValueError` where it is no vision transformer of a published form."""
        return looking.attention(self.model, self.prepare(**{looking.viewer(self.model): image}), rollout)

    def explain(self, image: Raw | list[Raw], text: str | list[str], layers: int | None = None) -> Float[np.ndarray, "N h w"]:
        """Which patches make picture i like text i (see `models.looking.relevance`). One of either may stand for all."""
        pictures, texts = listed(image), listed(text)
        n = len(pictures) if len(texts) == 1 else len(texts)
        if len(pictures) not in (1, n):
            raise BadRaw(f"explain: {len(pictures)} pictures and {len(texts)} texts: expected as many, or one of either")
        batch = self.prepare(**{looking.viewer(self.model): pictures, "text": texts})
        return looking.relevance(self.model, {key: np.resize(x, (n, *x.shape[1:])) for key, x in batch.items()}, "text", layers)

    def transcribe(
        self,
        sound: Raw,
        *,
        language: str | None = None,
        task: str = "transcribe",
        timestamps: bool = False,
        beams: int = 1,
        progress: Progress | None = None,
    ) -> str | list[Segment]:
        """What is said in a sound of any length (a path, bytes, an (array, rate) pair; of a video, its sound track), as text, or
        with `timestamps` as segments (start and end in seconds, text).

        `language`: "de" or "German", found out where it is None; `task`: "translate" into English; `beams`: how many beginnings
        are followed side by side; `progress` is told the seconds done and those there are. `NotAsked` where the model has no
        decoder that was trained on transcripts, or knows English alone and a language is given.
        """
        self._transcriber = self._transcriber or Transcriber(self.model, self.fields)
        return self._transcriber(self._leaves, opened(sound), Manner(language, task, timestamps, beams), progress)

    def caption(
        self,
        things: Raw | list[Raw],
        *,
        prompt: str = "",
        beams: int = 1,
        length: int | None = None,
        sampling: Sampling | None = None,
        seed: int = 0,
        field: str = "",
    ) -> list[Told]:
        """What pictures show (or sounds, clips, traces, by what the model reads), in words that go on from the prompt: strings
        that have their log-probability as `score`. See `Telling`. `field`: which one they are of, where the model reads several
        and they are no files. `NotAsked` where the model was not trained to, with the name of one that was."""
        return [texts[0] for texts in self.candidates(things, Telling(length, beams, sampling, seed), prompt, field)]

    def candidates(self, things: Raw | list[Raw], how: Telling = DRAWN, prompt: str = "", field: str = "") -> list[list[Told]]:
        """Up to `how.many` different captions of each thing, the likeliest first: drawn as the model would utter them, or the
        best of a search, `Telling(beams=5, many=5)`."""
        return self._told(listed(things), field).caption(self._leaves, listed(things), how, prompt)

    def describe(self, thing: Raw, *, draws: int = DRAWS, seed: int = 0) -> Description:
        """What a thing holds, for somebody who cannot see it: whole sentences, hedged where the model is not sure, by what it
        says in `draws` captions that it utters by `seed`. Each of its `sentences` has how `sure` it is."""
        teller = self._told([thing])
        return described(teller.drawn(self._leaves, [thing], draws, seed)[0], self.field(teller.reads[0]).kind)

    def summarize(self, clip: Raw, *, window: float = WINDOW, beams: int = 1, length: int | None = None) -> Summary:
        """What happens in a clip of any length, and when: a `Segment` (start and end in seconds, text) for each part that says
        something else than the one before. `window`: seconds that are told of at once."""
        return summarized(self._told([clip]), self._leaves, self.fields, clip, Telling(length, beams), window)

    def ask(
        self,
        things: Raw | list[Raw],
        questions: str | list[str],
        *,
        answers: Sequence[str] | None = None,
        beams: int = 1,
        length: int | None = None,
        sampling: Sampling | None = None,
        seed: int = 0,
    ) -> list[Told]:
        """Answers to questions about things, in words, or the likeliest of some `answers`. One thing, or one question, may
        stand for all. The rest is as for `caption`."""
        about, how = (listed(things), listed(questions)), Telling(length, beams, sampling, seed)
        return self._told(about[0]).answer(self._leaves, *about, how, answers)

    def generate(
        self,
        to: str | None = None,
        *,
        n: int = 1,
        how: Drawing | Sampling | None = None,
        seed: int = 0,
        progress: Doing | None = None,
        **sources: Raw | list[Raw],
    ) -> list[Any]:
        """`n` things of the field `to` of each prompt, one prompt's after another's: `generate("image", text="a red ring", n=8)`
        gives Pillow pictures; sounds and traces are (array, rate), clips (frames, fps). `how`: a `Drawing` (a `Sampling` for
        texts). Sources of several fields are added up in the space, and each may be a `Mix`. Same `seed`, same things; thing i
        of one prompt is the same whatever `n` is. `progress` is told the evaluations of the network done so far, and all."""
        return self.making(self._leaves, to, {name: listed(raw) for name, raw in sources.items()}, n, how, seed, progress)

    @cached_property
    def making(self) -> Making:
        """What `generate` calls; `NoDecoder` where the model makes nothing."""
        return Making(self.model, self._every)

    @property
    def fingerprint(self) -> str:
        """A hash of the weights and of all that is done before them: vectors of unlike fingerprints must not be compared."""
        if not self._fingerprint:
            self._fingerprint = self._hash()
        return self._fingerprint

    def parameters(self) -> list[jax.Array]:
        """Every array of the model."""
        return list(self._leaves)

    @classmethod
    def from_pretrained(
        cls, name: Path | str, *, revision: str | None = None, token: str | bool | None = None, dtype: str = "float32"
    ) -> "Sensorium":
        """`sensorium.load`, called as the mixins of huggingface_hub call it."""
        return load(name, revision, dtype, token)

    def save_pretrained(
        self,
        path: Path | str,
        family: str | None = None,
        *,
        dtype: str | None = None,
        shard_size: int | str | None = None,
        licence: str | None = None,
    ) -> None:
        """Writes `config.json`, `model.safetensors` and a model card into the directory `path`; `sensorium.load` reads them.

        A model that was loaded from a published checkpoint is written in the layout of its family, with tokenizer and
        preprocessing, so that transformers reads it. `family`: the same for another one, such as "clip" for a run that began as
        a CLIP, or "sensorium" for our own layout (a `ValueError` where it has not that form). Adapters (`optim.lora`) are folded
        into their layers. `dtype` of the numbers and `shard_size` ("5GB") are for layouts of families. `licence`: an id such as
        "mit" for the card, by default that of what the model was loaded from.
        """
        path, layout = Path(path), family or self.family or OWN
        model = merge(self.model) if adapted(self.model) else self.model
        what = (path, model, self.card, self._every)
        if layout == OWN:
            write_own(*what, dtype, shard_size)
        else:
            write_published(*what, layout, known=layout == self.family, dtype=dtype, shard_size=shard_size)
        self.save_card(path, layout, licence)

    def save_card(self, path: Path | str, family: str | None = None, licence: str | None = None) -> None:
        """Writes the model card alone into a directory: what stands in `run.json` and `metrics.json` there is told. A card that
        somebody else wrote is left as it is."""
        path, layout = Path(path), family or self.family or OWN
        read = self.model.reads if isinstance(self.model, Generator | Maker) else tuple(self.model.encoders)
        kinds = [field.kind for field in self.fields if field.name in read]
        size = sum(x.size for x in self._leaves)
        family, writes = "" if layout == OWN else layout, isinstance(self.model, Generator)
        makes = self.model.targets if isinstance(self.model, Maker | AnyToAny) else ()
        write_card(path, About(kinds, size, family, library_of(path, layout), self.origin, writes, makes), licence)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        family: str | None = None,
        licence: str | None = None,
        commit_message: str = "Model and its card, by Sensorium",
        private: bool | None = None,
        token: str | bool | None = None,
        branch: str | None = None,
        create_pr: bool | None = None,
    ) -> str:
        """Publishes what `save_pretrained` writes as a repository of the Hugging Face Hub (see `huggingface_hub.ModelHubMixin`),
        and gives the address of the commit. `NotPublished` says what it lacks, such as a token that may write."""
        from sensorium.pretrained.give_back import push

        how = {"commit_message": commit_message, "private": private, "token": token, "branch": branch, "create_pr": create_pr}
        return push(lambda folder: self.save_pretrained(folder, family, licence=licence), repo_id, **how)

    def _hash(self) -> str:
        digest = hashlib.sha256(json.dumps(configuration(self.card, self._every), sort_keys=True).encode())
        for name, value in sorted(arrays(self.model).items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
        return digest.hexdigest()[:16]

    def _labelled(self) -> list[tuple[str, Labelled]]:
        encoders = self.model.encoders.items()
        return [(name, encoder) for name, encoder in encoders if isinstance(encoder, Labelled) and encoder.labels]

    def _asked(self, things: Raw | list[Raw], named: dict[str, Raw | list[Raw]]) -> tuple[Modality, list[Raw]]:
        """The field that is meant, and its raw things: the one that is named, or the first that is no text."""
        if (things is not None) + len(named) != 1:
            raise BadRaw(
                f"classify: {len(named)} fields by name and things {type(things).__name__}: expected things of one field"
            )
        if named:
            ((name, raw),) = named.items()
            return self.field(name), listed(raw)
        return next((field for field in self.fields if field.kind != "text"), self.fields[0]), listed(things)

    def _encode(self, field: Modality, raws: list[Raw]) -> Float[np.ndarray, "N D"]:
        known = {name: encoder for name, encoder in self.model.encoders.items() if isinstance(encoder, Encoder)}
        if field.name not in known:
            raise UnknownName(f"this model has vectors of {', '.join(known) or 'nothing'}, and none of {field.name!r} alone")
        encoder = known[field.name]
        width = self.model.width if isinstance(self.model, Space | AnyToAny) else encoder.pooled_width
        out = np.zeros((len(raws), width), np.float32)
        parts = batched(field, raws, isinstance(encoder, PublishedText) and encoder.form.masks)
        for rows, units in begun((rows, self._units(self._leaves, pad(read(x), size))) for rows, x, size in parts):
            out[rows] = jax.device_get(units[f"{field.name}/unit"])[: len(rows)]
        return out

    def _parts(self, field: Modality, raws: list[Raw], end: str, beside: Batch | None = None) -> Iterator[np.ndarray]:
        """The output whose key has this end, in batches of few sizes: a row for each of the raw things."""
        for start, size in cuts(len(raws)):
            part = raws[start : start + size]
            batch = pad(read(prepared(field, part)), size) | (beside or {})
            (found,) = jax.device_get(self._some(self._leaves, batch, end)).values()
            turned = beside is not None and sorted((field.name, *beside))[0] != field.name
            yield (found.T if turned else found)[: len(part)]

    def units(self, batch: Batch, rows: int) -> dict[str, np.ndarray]:
        """The compiled function itself: `"<field>/unit"` f32[rows D] of prepared arrays, which are filled up to `rows`."""
        return jax.device_get(self._units(self._leaves, pad(read(batch), rows)))


def load(path: Path | str, revision: str | None = None, dtype: str = "float32", token: str | bool | None = None) -> Sensorium:
    """The model in a directory that `sensorium.train` or `save_pretrained` wrote, or a published checkpoint: a directory in the
    layout of Hugging Face or of OpenCLIP, or the id of a repository ("openai/clip-vit-base-patch32"), at a `revision`.

    `BadFile` where there is none, or where the weights do not fit what the configuration says, name by name; `UnknownName` for
    a checkpoint of no family that is known. `dtype`: of a published checkpoint's parameters. HF_HUB_OFFLINE, HF_HOME and HF_TOKEN
    count; `token` is for repositories that ask who you are. A licence that forbids commercial use is a `NonCommercial` warning.
    """
    name, path = str(path), folder_of(path, revision, token=token)
    licence, loaded = licence_of(path, name), read_model(path, dtype)
    warn_if_not_commercial(licence, name)
    made = Sensorium(loaded.model, loaded.fields, loaded.card, loaded.family)
    made.origin = Origin(name, path, licence, published=not Path(name).exists())
    return made
