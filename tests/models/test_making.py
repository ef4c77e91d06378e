"""Making: what a user gets of what they ask for, mixtures of what is told, and every wrong question."""

import re
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from models.makers import (
    AUDIO,
    CLIPS,
    IMAGE,
    PLAN,
    SENSOR,
    SOUNDS,
    TEXT,
    TRACES,
    VIDEO,
    any_card,
    any_planning,
    any_to_any,
    maker,
    planning,
    shaken,
)

from sensorium import Drawing, Mix, Sampling
from sensorium.core.errors import SensoriumError, UnknownName
from sensorium.modalities import BadRaw
from sensorium.models import AnyToAny, Maker, Space, making
from sensorium.models.making import Making, NoDecoder, _pieces, shown
from sensorium.models.mix import between
from sensorium.sensorium import Sensorium, load
from sensorium.training import Card

FEW = Drawing(steps=2, guidance=2.0)
PHOTO = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)


def pixels(pictures) -> np.ndarray:
    return np.stack([np.asarray(picture) for picture in pictures]).astype(int)


def test_pictures_of_a_prompt_are_those_of_the_size_that_is_made_and_the_first_do_not_mind_the_others():
    made = maker().generate("image", text="red circle", n=3, how=FEW, seed=1)
    assert [picture.size for picture in made] == [(8, 8)] * 3, "Image(size=16), a decoder of 8×8"
    nine = pixels(maker().generate(text="red circle", n=9, how=FEW, seed=1))
    assert np.abs(pixels(made) - nine[:3]).max() <= 1, "another size of batch, but for a rounding"
    assert (pixels(maker().generate(text="red circle", n=3, how=FEW, seed=1)) == pixels(made)).all()
    apart = np.abs(nine[:, None] - nine[None]).max((2, 3, 4))
    assert (apart[~np.eye(9, dtype=bool)] > 1).all()
    other = pixels(maker().generate(text="red circle", n=3, how=FEW, seed=2))
    assert np.abs(other - pixels(made)).max((1, 2, 3)).min() > 1


def test_several_prompts_follow_one_another():
    """Thing i is drawn from key i, of whichever prompt: those of a prompt that stands first are as they are alone."""
    both = pixels(maker().generate(text=["red circle", "blue square"], n=3, how=FEW, seed=1))
    alone = pixels(maker().generate(text="red circle", n=3, how=FEW, seed=1))
    assert len(both) == 6 and np.abs(both[:3] - alone).max() <= 1
    turned = pixels(maker().generate(text=["blue square", "red circle"], n=3, how=FEW, seed=1))
    assert np.abs(both - turned).max((1, 2, 3)).min() > 1


def test_a_planner_writes_out_each_thing_and_the_thing_is_made_of_that():
    model = planning()
    assert model.making.model.reads == ("text",) and model.making.model.targets == ("image",) and model.making.plan == "plan"
    plans = model.generate("plan", text=["red circle", "blue square"], n=3, seed=1)
    assert len(plans) == 6 and len(set(plans)) == 6 and all(isinstance(plan, str) for plan in plans)
    made = pixels(model.generate(text=["red circle", "blue square"], n=3, how=FEW, seed=1))
    assert np.abs(made - pixels(model.generate(plan=plans, how=FEW, seed=1))).max() <= 1, "a prompt makes what its plans make"
    assert np.abs(made[0] - pixels(model.generate(plan="red circle", how=FEW, seed=1))[0]).max() > 1
    (one,) = model.generate("plan", text="red circle", seed=1)
    assert one == plans[0] and model.generate("plan", text="red circle", seed=2) != [one]
    assert model.making.planned(model.parameters(), {"plan": ["red"]}, "image") is None
    assert maker().making.plan is None and maker().making.planned(maker().parameters(), {"text": ["red"]}, "image") is None


def test_out_of_a_space_pictures_are_planned_and_texts_are_not():
    model = any_planning()
    assert model.making.plan == "plan" and model.making.model.targets == ("image", "text")
    assert model.modalities == ("text", "image", "sensor") and model.field("plan") == PLAN, "whoever indexes meets no plans"
    with pytest.raises(UnknownName, match="vectors of text, image, sensor, and none of 'plan'"):
        model.encode(plan="red")
    plans = model.generate("plan", image=PHOTO, n=3, seed=1)
    assert len(set(plans)) == 3 and model.generate("plan", image=PHOTO, n=3, seed=2) != plans
    made = pixels(model.generate("image", image=PHOTO, n=3, how=FEW, seed=1))
    assert np.abs(made - pixels(model.generate("image", plan=plans, how=FEW, seed=1))).max() <= 1
    assert model.generate("text", image=PHOTO) == any_planning().generate("text", image=PHOTO)
    assert not model.making.plans("text") and model.making.planned(model.parameters(), {"image": [PHOTO]}, "text") is None
    mixed = model.generate("image", text=Mix(("red", 1.0), ("blue", -1.0)), how=FEW, seed=1)
    assert isinstance(model.model, AnyToAny) and model.model.prefix is not None
    place = model.model.prefix.place.shape
    leaves = [x * 0 if x.shape == place else x for x in model.parameters()]
    assert model.making(leaves, "plan", {"image": [PHOTO]}, 3, seed=1) != plans, "of the parameters that are given"
    (plan,) = model.generate("plan", text=Mix(("red", 1.0), ("blue", -1.0)), seed=1)
    assert np.abs(pixels(mixed) - pixels(model.generate("image", plan=plan, how=FEW, seed=1))).max() <= 1
    alone = "a plan says by itself all that image is made from: given image and plan"
    wrongs: tuple[tuple[dict[str, Any], str], ...] = (
        ({"to": "image", "image": PHOTO, "plan": "red"}, alone),
        ({"to": "image", "plan": Mix(("red", 1.0), ("blue", 1.0))}, "a Mix of plan: it is read word by word here"),
        ({"to": "image"}, "nothing to make image from: give one of text, image, sensor, plan"),
        ({"to": "text", "plan": "red"}, "text is made from text, image, sensor, not from 'plan'"),
    )
    for wrong, told in wrongs:
        with pytest.raises(BadRaw, match=re.escape(told)):
            model.generate(**wrong)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"text": Mix(("red", 1), ("blue", 1))}, "lies in no space in which things can be added"),
        ({"text": "red", "plan": "red"}, "a plan says by itself all that image is made from: given text and plan"),
        ({"sensor": "red"}, "image is made from text, plan, not from 'sensor'"),
        ({"text": "red " * 9}, "tokens, where at most 10 are read"),
        ({"text": ""}, "an empty text"),
        ({}, "nothing to make image from: give one of text, plan"),
    ],
)
def test_what_a_planner_is_not_told(asked, told):
    with pytest.raises(BadRaw, match=re.escape(told)):
        planning().generate("image", **asked)


def test_a_plan_that_was_spelt_too_long_is_cut_and_one_of_nothing_is_a_bare_ground(monkeypatch):
    model = planning()
    with monkeypatch.context() as own:
        own.setattr(making, "shown", lambda field, x: ["red circle " + "b " * 20 + "c d " * 20, ""][written.pop(0)])
        written = [0, 1]
        long, none = model.generate("plan", text=["red", "blue"])
    tokens, kept = PLAN.measure(long)
    assert long.startswith("red circle b b") and kept - 3 <= tokens <= kept and none == ""
    assert pixels(model.generate("image", plan=[long, ""], how=FEW)).shape == (2, 8, 8, 3)
    with pytest.raises(BadRaw, match="tokens, where at most 40 are read"):
        model.generate("image", plan="red " * 50)


@pytest.mark.parametrize("model", [any_to_any, any_planning])
def test_what_is_saved_makes_the_same(tmp_path, model):
    model().save_pretrained(tmp_path)
    again = load(tmp_path)
    assert again.fingerprint == model().fingerprint
    assert again.generate("text", image=PHOTO) == model().generate("text", image=PHOTO)
    made = [pixels(one.generate("image", image=PHOTO, how=FEW, seed=3)) for one in (again, model())]
    assert (made[0] == made[1]).all()
    z = again.encode(text="red circle", image=[PHOTO])
    assert z["text"].shape == (1, 12) and z["image"].shape == (1, 12)
    planning().save_pretrained(tmp_path / "planning")
    assert load(tmp_path / "planning").generate("plan", text="red", n=4) == planning().generate("plan", text="red", n=4)


def test_sources_are_added_up_at_length_one_each_by_its_weight():
    made, leaves = any_to_any().making, any_to_any().parameters()

    def told(**raws) -> np.ndarray:
        given = {name: raw if isinstance(raw, list) else [raw] for name, raw in raws.items()}
        return np.asarray(made.told(leaves, given, "image").tokens[:, 0])

    red, blue, photo = told(text="red"), told(text="blue"), told(image=PHOTO)
    units = any_to_any().encode(text="red")["text"]
    model = any_to_any().model
    np.testing.assert_allclose(red, model.told("text", jnp.asarray(units)), atol=1e-5)  # type: ignore[union-attr]

    def sum_of(*parts) -> np.ndarray:
        whole = np.sum([weight * x for x, weight in parts], axis=0)
        return whole / np.linalg.norm(whole)

    np.testing.assert_allclose(told(text="red", image=PHOTO), sum_of((red, 1), (photo, 1)), atol=1e-5)
    mixed = told(text=Mix(("red", 0.5), ("blue", -2)), image=Mix((PHOTO, 3)))
    np.testing.assert_allclose(mixed, sum_of((red, 0.5), (blue, -2), (photo, 3)), atol=1e-5)
    way = told(text=between("red", "blue", 3))
    np.testing.assert_allclose(way, np.concatenate([red, sum_of((red, 1), (blue, 1)), blue]), atol=1e-5)
    rows = told(text=["red", "blue"], image=PHOTO)
    np.testing.assert_allclose(rows, np.concatenate([sum_of((x, 1), (photo, 1)) for x in (red, blue)]), atol=1e-5)


def test_texts_are_the_likeliest_or_are_drawn():
    (one,) = any_to_any().generate("text", image=PHOTO)
    assert isinstance(one, str)
    how = Sampling(temperature=2.0)
    drawn = any_to_any().generate("text", image=PHOTO, n=6, how=how, seed=1)
    assert drawn == any_to_any().generate("text", image=PHOTO, n=6, how=how, seed=1) and len(set(drawn)) > 3
    assert drawn != any_to_any().generate("text", image=PHOTO, n=6, how=how, seed=2)


def test_sounds_clips_and_traces_are_as_their_fields_take_them():
    noise = {"decoder": "denoiser"}
    card = any_card(audio=SOUNDS | noise, video=CLIPS | noise, sensor=TRACES | noise)
    model = Sensorium(shaken(card.build(0)), (TEXT, IMAGE, SENSOR, AUDIO, VIDEO), card)
    how = Drawing(steps=1, guidance=1.0)
    made = (AUDIO, (1024,), 2000), (VIDEO, (4, 8, 8, 3), 2.0), (SENSOR, (16, 2), 8.0)
    for field, shape, times in made:
        name = field.name
        ((x, rate),) = model.generate(name, text="red", how=how)
        assert x.shape == shape and np.isfinite(x).all() and np.ptp(x) > 0 and rate == times
        assert field.prepare((x, rate))[f"{name}/mask"].all(), "what is made can be told of again"


def test_a_clip_of_fewer_frames_takes_as_long():
    x, fps = shown(VIDEO, np.zeros((2, 8, 8, 3), np.uint8))
    assert len(x) / fps == VIDEO.seconds


def test_progress_is_told_up_to_its_end_and_of_long_drawings_in_between(monkeypatch):
    seen: list[tuple[int, int]] = []
    maker().generate(text="red", n=9, how=FEW, progress=lambda *now: seen.append(now))
    assert seen == [(2, 4), (4, 4)]
    monkeypatch.setattr(making, "LONG", 40)
    seen.clear()
    maker().generate(text="red", n=9, how=Drawing(steps=3, sampler="heun"), progress=lambda *now: seen.append(now))
    assert {total for _, total in seen} == {10} and seen[-1] == (10, 10)
    assert sorted(done for done, _ in seen[:-1]) == [0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9]


def test_one_program_serves_every_guidance_and_temperature():
    model = maker()
    doing, leaves = Making(model.model, model.fields), model.parameters()
    told = doing.told(leaves, {"text": ["red circle"]}, "image")
    keys = making._keys(jnp.uint32(3), jnp.int32(0), 1)
    pictures = []
    for how in (Drawing(2, 1.5), Drawing(2, 3.0), Drawing(2, 3.0, temperature=0.25)):
        pictures.append(doing.make(leaves, told, "image", 1, how, seed=3).astype(int))
        assert isinstance(model.model, Maker)
        plain = np.asarray(model.model.decoder.draw(told, keys, how)).astype(int)
        assert np.abs(pictures[-1] - plain).max() <= 1, "but for a rounding"
    assert doing._draw._cache_size() == 1 and all(np.abs(one - pictures[0]).max() > 1 for one in pictures[1:])
    doing.make(leaves, told, "image", 1, Drawing(2, 1.0))
    assert doing._draw._cache_size() == 2, "without guidance nothing is drawn of nothing"


def test_few_programs_are_held(monkeypatch):
    monkeypatch.setattr(making, "PROGRAMS", 2)
    model, made = maker(), []
    doing, leaves = Making(model.model, model.fields), model.parameters()
    told = doing.told(leaves, {"text": ["red circle"]}, "image")
    for steps in (1, 2, 3, 1):
        made.append(doing.make(leaves, told, "image", 1, Drawing(steps, 2.0), seed=3))
        assert doing._draw._cache_size() <= 2
    assert (made[0] == made[3]).all() and (made[0] != made[1]).any()


@pytest.mark.parametrize(
    ("n", "sizes"), [(1, [1]), (3, [1, 1, 1]), (4, [8]), (9, [8, 8]), (20, [8] * 3), (32, [64]), (40, [64]), (65, [64, 64])]
)
def test_no_more_than_half_of_the_rows_are_thrown_away(n, sizes):
    assert [size for _, size in _pieces(n)] == sizes
    assert [start for start, _ in _pieces(n)] == [i * sizes[0] for i in range(len(sizes))]


WRONG = [
    ({"to": "imgae", "text": "red"}, "no decoder for 'imgae': it makes image, text. Did you mean 'image'"),
    ({"to": "sensor", "text": "red"}, "no decoder for 'sensor'"),
    ({"to": None, "text": "red"}, "say which, by to="),
    ({}, "nothing to make image from: give one of text, image, sensor"),
    ({"audio": "a.wav"}, "not from 'audio'"),
    ({"txt": "red"}, "Did you mean 'text'"),
    ({"text": ""}, "an empty text"),
    ({"text": ["red", "  "]}, "an empty text"),
    ({"text": Mix(("red", 1), ("", -1))}, "an empty text"),
    ({"text": []}, "0 of text: expected"),
    ({"text": "red circle " * 9}, "tokens, where at most 10 are read"),
    ({"text": ["red", "blue"], "image": [PHOTO] * 3}, "2 of text and 3 of image"),
    ({"text": Mix(("red", 1), ("red", -1))}, "take each other away"),
    ({"text": "red", "n": 0}, "n=0: expected a whole number of 1 or more"),
    ({"text": "red", "seed": -1}, "seed=-1"),
    ({"text": "red", "seed": 2**32}, "from 0 to 4294967295"),
    ({"text": "red", "how": Sampling()}, "image is made out of noise, by a Drawing"),
    ({"to": "text", "image": PHOTO, "how": Drawing()}, "text is made word by word, by a Sampling"),
    ({"to": "text", "image": PHOTO, "n": 2}, "one text is the likeliest"),
]


@pytest.mark.parametrize(("asked", "told"), WRONG, ids=[told[:30] for _, told in WRONG])
def test_a_wrong_question_is_told_what_is_wrong(asked, told):
    with pytest.raises((SensoriumError, ValueError), match=re.escape(told)):
        any_to_any().generate(**{"to": "image"} | asked)


def test_a_maker_reads_all_that_it_was_made_for_and_mixes_nothing():
    with pytest.raises(BadRaw, match="lies in no space in which things can be added"):
        maker().generate(text=Mix(("red", 1), ("blue", 1)))
    with pytest.raises(BadRaw, match="made from text, not from 'image'"):
        maker().generate(image=PHOTO)


def test_a_model_without_decoders_makes_nothing():
    card = Card("space", {"encoders": any_to_any().card.arguments["space"]["encoders"]})
    model = card.build(0)
    assert isinstance(model, Space)
    with pytest.raises(NoDecoder, match="makes nothing, it has no decoder"):
        Sensorium(model, (TEXT, IMAGE, SENSOR), card).generate("image", text="red")
    assert issubclass(NoDecoder, SensoriumError) and isinstance(any_to_any().making, Making)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ((), "0 parts"),
        ((("red", 1, 2),), "pairs"),
        ((("red", "1"),), "weight of '1'"),
        ((("a", float("nan")),), "nan"),
        ((("a", 0),), "every weight is 0"),
    ],
)
def test_a_mix_of_no_weights_is_an_error(wrong, told):
    with pytest.raises(BadRaw, match=told):
        Mix(*wrong)
    with pytest.raises(BadRaw, match="steps=1"):
        between("a", "b", 1)
    with pytest.raises(UnknownName):
        Drawing(sampler="none")
