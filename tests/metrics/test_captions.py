"""BLEU, ROUGE-L and CIDEr against the numbers of the usual packages, by hand, and what does not change them."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.metrics import Unmeasurable
from sensorium.metrics.captions import bleu, bleu_counts, captioning, cider, rouge_l, words

RECORDED = json.loads((Path(__file__).parent / "recorded" / "captions.json").read_text(encoding="utf-8"))
SAID, REFERENCES = RECORDED["said"], RECORDED["references"]
texts = st.lists(st.sampled_from(list("abcde")), min_size=1, max_size=8).map(" ".join)
rows = st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), min_size=2, max_size=6)


@pytest.mark.parametrize("smooth", ["none", "exp", "add"])
def test_bleu_is_that_of_sacrebleu(smooth):
    assert bleu(SAID, REFERENCES, smooth=smooth, split=str.split) == pytest.approx(RECORDED["sacrebleu"][smooth], rel=1e-9)
    fifth = bleu(SAID[4:5], REFERENCES[4:5], smooth=smooth, split=str.split)
    assert fifth == pytest.approx(RECORDED["sacrebleu of the fifth"][smooth], rel=1e-9)


def test_bleu_of_fewer_words_rouge_and_cider_are_those_of_coco():
    found = [bleu(SAID, REFERENCES, order, split=str.split) for order in (1, 2, 3, 4)]
    np.testing.assert_allclose(found, RECORDED["coco bleu"], rtol=1e-6)
    np.testing.assert_allclose(rouge_l(SAID, REFERENCES, split=str.split), RECORDED["coco rouge_l"], rtol=1e-9)
    np.testing.assert_allclose(cider(SAID, REFERENCES, split=str.split), RECORDED["coco cider"], rtol=1e-9, atol=1e-12)


def test_rouge_of_one_reference_is_that_of_rouge_score():
    first = [others[:1] for others in REFERENCES]
    np.testing.assert_allclose(rouge_l(SAID, first, beta=1.0, split=str.split), RECORDED["rouge-score of the first"], rtol=1e-9)


def test_by_hand():
    """Papineni's: "the" seven times is right twice; and a caption of three words, of four, has exp(1 − 4/3)."""
    assert bleu(["the the the the the the the"], [["the cat is on the mat"]], 1) == pytest.approx(2 / 7)
    assert bleu(["a red dog"], [["a red dog runs"]], 2) == pytest.approx(np.exp(1 - 4 / 3))
    assert bleu(["a b c d"], [["a b c x"]], 4) == 0
    assert bleu(["a b c d"], [["a b c x"]], 4, "exp") == pytest.approx((3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** (1 / 4))
    assert bleu(["a b c d"], [["a b c x"]], 4, "add") == pytest.approx((3 / 4 * 3 / 4 * 2 / 3 * 1 / 2) ** (1 / 4))
    p, r = 3 / 4, 3 / 5
    assert rouge_l(["a b c d"], [["a x b y c"]]) == pytest.approx([(1 + 1.44) * p * r / (r + 1.44 * p)])
    # Two items without a word in common, of one word each: only the cosine of single words is 1, of four.
    assert cider(["a", "b"], [["a"], ["b"]]) == pytest.approx([2.5, 2.5])
    # Of "a c" against "a", plain: 1/√2 of single words, and nothing of longer ones; clipped and one word too long beside it.
    assert cider(["a c", "b"], [["a"], ["b"]], sigma=None)[0] == pytest.approx(2.5 / np.sqrt(2))
    assert cider(["a c", "b"], [["a"], ["b"]])[0] == pytest.approx(2.5 / np.sqrt(2) * np.exp(-1 / 72))
    assert cider(["a a", "b"], [["a"], ["b"]], sigma=None)[0] == pytest.approx(2.5)
    assert cider(["a a", "b"], [["a"], ["b"]])[0] == pytest.approx(2.5 / 2 * np.exp(-1 / 72)), "the second a is too much"
    assert words("A dog's  mother-in-law, Zoë… (ran)!") == ["a", "dog's", "mother-in-law", "zoë", "ran"]


@settings(max_examples=20)
@given(rows)
def test_what_does_not_change_them(pairs):
    said, references = [one for one, _ in pairs], [others for _, others in pairs]
    turned = said[::-1], references[::-1]
    assert bleu(*turned, smooth="exp") == pytest.approx(bleu(said, references, smooth="exp"))
    for rows_of in (rouge_l, cider):
        values = rows_of(said, references)
        np.testing.assert_allclose(rows_of(*turned)[::-1], values, atol=1e-12)
        np.testing.assert_allclose(rows_of(said, [others[::-1] for others in references]), values, atol=1e-12)
        assert (values >= 0).all() and (values <= (1 if rows_of is rouge_l else 10) + 1e-9).all()
    assert rouge_l(said, [[one, *others] for one, others in pairs]) == pytest.approx(np.ones(len(said)))
    assert bleu([f"{one} x y z" for one in said], [[f"{one} x y z", *others] for one, others in pairs]) == pytest.approx(1)
    counts = bleu_counts(said, references)
    assert (counts[:, 2:6] <= counts[:, 6:]).all() and (counts[:, 0] == [len(one.split()) for one in said]).all()


def test_captioning_tells_intervals_and_chance():
    things = [(a, b, c) for a in ("red", "blue", "green") for b in ("dog", "cat") for c in "xyz"]
    references = [[f"a {a} {b} in the {c}", f"one {a} {b}"] for a, b, c in things]
    found = captioning([others[0] for others in references], references)
    assert found["bleu4"] == found["bleu4/low"] == found["bleu4/high"] == 1 and 0 < found["bleu4/chance"] < 0.8
    assert found["rouge_l"] == 1 and 0.3 < found["rouge_l/chance"] < 0.9
    assert found["cider"] > 1.5 * found["cider/chance"]
    found = captioning(SAID, REFERENCES)
    for name in ("bleu4", "rouge_l", "cider"):
        assert found[f"{name}/chance"] < found[f"{name}/low"] < found[name] < found[f"{name}/high"], name


def test_what_cannot_be_measured_is_told():
    with pytest.raises(Unmeasurable, match="1 of 2 items have no reference, the first is item 1"):
        bleu(["a", "b"], [["a"], []])
    with pytest.raises(Unmeasurable, match="got none"):
        rouge_l([], [])
    with pytest.raises(Unmeasurable, match="two items or more"):
        cider(["a"], [["a"]])
    with pytest.raises(ValueError, match="2 captions and references of 1 items"):
        bleu(["a", "b"], [["a"]])
    with pytest.raises(TypeError, match="a text where a list is expected"):
        bleu(["a"], ["a"])
    assert bleu([""], [["a"]]) == 0 and rouge_l([""], [["a"]])[0] == 0 and cider(["", "b"], [["a"], ["b"]])[0] == 0
