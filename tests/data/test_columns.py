import pytest

from sensorium.core.errors import BadFile
from sensorium.data.columns import told, understand, words_in


@pytest.mark.parametrize(
    "row, columns",
    [
        ({"id": "1", "img": "a.png", "caption": "a"}, {"id": ["id"], "image": ["img"], "text": ["caption"]}),
        ({"id": "a.png", "caption": "a"}, {"id": ["id"], "text": ["caption"]}),  # an id may look like a file
        ({"movie": "a.gif"}, {"video": ["movie"]}),
        ({"x": "a.gif"}, {"image": ["x"]}),
        ({"file_name": "a.wav", "other": "b.wav"}, {"audio": ["file_name"]}),
        ({"u": "https://x.org/a.png?size=3", "text": "t"}, {"image": ["u"], "text": ["text"]}),
        ({"sensor_file": "a.csv", "text": "t"}, {"sensor": ["sensor_file"], "text": ["text"]}),
        ({"caption_0": "a", "caption_1": "b", "title": "c"}, {"text": ["caption_0", "caption_1"]}),
        ({"text": "a", "split": "dev"}, {"text": ["text"], "split": ["split"]}),
        ({"text": "a", "split": "banana"}, {"text": ["text"]}),
        ({"text": "a", "Group ID": 7}, {"text": ["text"], "group": ["Group ID"]}),
    ],
)
def test_columns_are_understood(row, columns):
    assert understand("m.csv", [row]) == columns


def test_what_is_given_goes_first_and_the_rest_is_found():
    row = {"caption": "a", "note": "b", "photo": "x.png"}
    assert understand("m", [row], {"text": "note"}) == {"image": ["photo"], "text": ["note"]}
    assert understand("m", [row], {"text": []}) == {"image": ["photo"]}
    assert told(understand("m", [row], {"text": ("note", "caption")})) == "image from photo, text from note and caption"


def test_nothing_to_learn_from_is_an_error_with_the_columns():
    with pytest.raises(
        BadFile, match=r"m\.csv: no column names files or captions\. Its columns: id, year\. Expected one of image"
    ):
        understand("m.csv", [{"id": 1, "year": 2}])


LONG = ["ein roter Kreis oben", "zwei kleine grüne Quadrate", "ein Dreieck neben dem Kreis"]


def test_a_caption_column_of_any_name_is_found_by_its_words():
    rows = [{"Bild": f"{i}.png", "Beschreibung": text, "Farbe": "rot", "Jahr": "1999"} for i, text in enumerate(LONG)]
    assert understand("m", rows) == {"image": ["Bild"], "text": ["Beschreibung"]}
    assert understand("m", rows, {"text": []}) == {"image": ["Bild"]}
    two = [row | {"Notiz": row["Beschreibung"][::-1]} for row in rows]
    assert understand("m", two) == {"image": ["Bild"]}  # a choice of two is the user's
    same = [row | {"Beschreibung": LONG[0]} for row in rows * 3]
    assert understand("m", same) == {"image": ["Bild"]}  # a label of several words is no caption
    assert understand("m", [row | {"caption": "x"} for row in rows])["text"] == ["caption"]


CAPTIONS = {
    "chinese": ["一只红色的猫坐在椅子上", "桌子上有两个苹果", "雨中的蓝色汽车"],
    "japanese": ["赤い猫が椅子に座っている", "雨の中の青い車", "テーブルの上のりんご"],
    "thai": ["แมวสีแดงนั่งอยู่บนเก้าอี้", "รถสีน้ำเงินในสายฝน", "แอปเปิ้ลสองลูกบนโต๊ะ"],
}


@pytest.mark.parametrize("language", CAPTIONS)
def test_captions_without_spaces_are_free_text_and_labels_without_spaces_are_not(language):
    labels = {"chinese": "苹果 自行车 北京市", "japanese": "りんご スマートフォン 東京都", "thai": "แมว หมา ช้าง"}[
        language
    ].split()
    rows = [{"图": f"{i}.png", "x": text, "y": labels[i]} for i, text in enumerate(CAPTIONS[language])]
    assert understand("m", rows) == {"image": ["图"], "text": ["x"]}


@pytest.mark.parametrize(
    "text, words",
    [("a red cat", 3), ("IMG_1234 -- 7", 1), ("", 0), ("빨간 고양이 한 마리", 4), ("猫", 1), ("a red 自行车", 4), ("éa, ü\t", 2)],
)
def test_words_are_counted_in_any_script(text, words):
    assert words_in(text) == words
