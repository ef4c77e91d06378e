import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.modalities.tokenizer import ASCII, SPECIALS, Tokenizer, vocabulary

WORDS = ("red", "circle", "the", "blue", "reddish", "it", "a1")
TOKENIZER = Tokenizer(ASCII, WORDS)
NARROW = Tokenizer("abc!", ("abc", "cab"))


def pieces(text: str, tokenizer: Tokenizer = TOKENIZER) -> list[str]:
    return [tokenizer.pieces[i] for i in tokenizer.numbers(text)]


@given(st.one_of(st.text(max_size=80), st.text("abcxyz RED circle's\n\t_-[]~^`09", max_size=200)))
def test_the_remembering_path_equals_the_plain_one(text):
    for tokenizer in (TOKENIZER, NARROW):
        once, again = tokenizer.numbers(text), tokenizer.numbers(text)
        whole = text.encode("utf-8", "replace").decode() if any("\ud800" <= c <= "\udfff" for c in text) else text
        assert once == again
        if whole == text:
            assert once == tokenizer.plain.encode(text, add_special_tokens=False).ids


@given(st.text("".join(chr(i) for i in range(128)), max_size=60))
def test_ascii_of_all_kinds_equals_the_plain_path(text):
    assert TOKENIZER.numbers(text) == TOKENIZER.plain.encode(text, add_special_tokens=False).ids


def test_every_ascii_character_is_read_as_the_plain_path_reads_it():
    for i in range(128):
        text = f"red{chr(i)}circle {chr(i)} {chr(i)}{chr(i)}"
        assert TOKENIZER.numbers(text) == TOKENIZER.plain.encode(text, add_special_tokens=False).ids, i


def test_known_words_are_one_piece_and_unknown_ones_their_characters():
    assert pieces("The RED circle") == ["the", "red", "circle"]
    assert pieces("reddish redness") == ["reddish", "red", "##n", "##e", "##s", "##s"]
    assert pieces("it's, ok!") == ["it", "'", "s", ",", "o", "##k", "!"]
    assert pieces("  \n ") == [] and pieces("") == []


def test_one_unknown_character_loses_only_itself():
    assert pieces("cat☃red") == ["c", "##a", "##t", "[UNK]", "red"]
    assert pieces("☃☃ red") == ["[UNK]", "[UNK]", "red"]
    assert pieces("a\ud800b") == ["a", "[UNK]", "b"]
    assert pieces("axbc", NARROW) == ["a", "[UNK]", "b", "##c"]


def test_specials_in_a_caption_are_only_characters():
    for special in SPECIALS:
        assert not {0, 1, 2, 3} & set(TOKENIZER.numbers(f"red {special}"))


def test_a_run_of_letters_of_any_length_is_read_whole():
    assert "".join(pieces("x" * 1000)).replace("##", "") == "x" * 1000
    assert "".join(pieces("☃" + "x" * 200)).replace("##", "") == "[UNK]" + "x" * 200


def test_unicode_forms_are_one():
    tokenizer = Tokenizer(ASCII + "é", ("café",))
    assert pieces("CAFE\u0301", tokenizer) == pieces("café", tokenizer) == ["café"]


@pytest.mark.parametrize(
    "text, shown", [("the red circle", "the red circle"), ("red, blue!", "red, blue!"), ("xyz red", "xyz red")]
)
def test_text_is_read_back(text, shown):
    assert TOKENIZER.text([2, *TOKENIZER.numbers(text), 3, 0, 0]) == shown


def test_the_vocabulary_begins_with_the_specials():
    assert vocabulary("ab", ("red",)) == ("[PAD]", "[UNK]", "[START]", "[END]", "a", "b", "##a", "##b", "red")
