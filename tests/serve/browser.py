"""The page in a real Chromium: `make browser`. It is no part of the usual run, for which no browser has to be there.

SHOTS=folder keeps a picture of each test's end.
"""

import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from playwright.sync_api import Error, Page, expect, sync_playwright
from search.fake import RATE, folder, tone
from serve.served import Reading, by_tokens, three_seconds

from sensorium.core.protocols import Item
from sensorium.modalities.audio import wav_bytes
from sensorium.modalities.written import png_bytes
from sensorium.search import Collection
from sensorium.serve.app import Server

PHONE = {"width": 390, "height": 844}
ARGUMENTS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
SECONDS = 60_000


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    items = [*folder(root / "files"), *more(root / "files")]
    server = Server(Collection.update(Reading(), items, root / "c", root=root / "files"), Reading())
    with running(server) as at:
        yield at, root / "files"


@pytest.fixture(scope="module")
def telling(tmp_path_factory):
    """The address of a server whose model says why."""
    model, collection = by_tokens(tmp_path_factory.mktemp("why"))
    with running(Server(collection, model)) as address:
        yield address


@contextmanager
def running(server: Server) -> Iterator[str]:
    runner = uvicorn.Server(uvicorn.Config(server.app, port=0, log_level="warning", lifespan="off", ws="none"))
    thread = threading.Thread(target=runner.run, daemon=True)
    thread.start()
    while not runner.started:
        time.sleep(0.05)
    yield f"http://localhost:{runner.servers[0].sockets[0].getsockname()[1]}"
    runner.should_exit = True
    thread.join(timeout=20)
    server.close()


def more(root: Path) -> list[Item]:
    """A picture that is there twice, and a clip that is red, then green, then blue."""
    (root / "images/twin.png").write_bytes((root / "images/yellow.png").read_bytes())
    (root / "a clip.mp4").write_bytes(three_seconds())
    clip = Item("clip", {"video": (root / "a clip.mp4",), "text": ("a clip of red, green and blue",)})
    return [Item("twin", {"image": (root / "images/twin.png",), "text": ("green and red, IMG_2041",)}), clip]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as play:
        try:
            opened = play.chromium.launch(args=ARGUMENTS, executable_path=os.environ.get("BROWSER") or shutil.which("chromium"))
        except Error as error:
            pytest.skip(f"no Chromium: playwright install chromium, or BROWSER=path ({str(error).splitlines()[0]})")
        yield opened
        opened.close()


@pytest.fixture(params=[None, PHONE], ids=["wide", "phone"])
def page(request, address, browser):
    """The page, open; the test fails where the console had an error, or something was asked of another server."""
    context = browser.new_context(viewport=request.param or {"width": 1280, "height": 860}, permissions=["microphone"])
    page = context.new_page()
    page.set_default_timeout(SECONDS)
    expect.set_options(timeout=SECONDS)
    bad: list[str] = []
    expected: list[int] = []
    page.on("console", lambda line: line.type in ("error", "warning") and bad.append(line.text))
    page.on("pageerror", lambda error: bad.append(str(error)))
    page.on("request", lambda one: one.url.startswith((page.at, "blob:")) or bad.append(one.url))  # type: ignore[attr-defined]
    page.expected = expected  # type: ignore[attr-defined]
    page.at = address[0]  # type: ignore[attr-defined]
    page.goto(address[0])
    expect(page.locator(".card")).to_have_count(5)
    yield page
    if folder := os.environ.get("SHOTS"):
        page.screenshot(path=Path(folder) / f"{re.sub(r'[^a-z0-9]+', '-', request.node.name)}.png")
    bad = [text for text in bad if not any(f"status of {status}" in text for status in expected)]
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    context.close()
    assert bad == [] and wide <= 0


def cards(page: Page) -> list[str]:
    return [card.get_attribute("data-id") or "" for card in page.locator(".card").all()]


def test_typing_finds(page):
    page.get_by_label("What do you look for?").fill("something blue")
    expect(page.get_by_role("status").first).to_contain_text("nearest of 8 items")
    assert cards(page)[0] == "blue"
    expect(page.locator(".card").first).to_contain_text("a blue thing")
    expect(page.locator(".card").first.locator("img")).to_have_attribute("alt", "a blue thing")
    assert page.locator(".card img").first.evaluate("image => image.complete && image.naturalWidth") == 160


def test_a_dropped_picture_finds(page, address):
    page.locator("#file").set_input_files(address[1] / "images/green.png")
    expect(page.locator(".chip")).to_contain_text("green.png")
    expect(page.get_by_role("status").first).to_contain_text("compared with their words, sound")
    assert cards(page)[0] == "green"
    content = list((address[1] / "images/red.png").read_bytes())
    page.evaluate(
        """content => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(content)], "red.png", {type: "image/png"}));
            for (const type of ["dragenter", "dragover", "drop"]) {
                document.body.dispatchEvent(new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true}));
            }
        }""",
        content,
    )
    expect(page.locator(".chip")).to_have_count(2)
    page.get_by_role("button", name="Remove green.png").click()
    expect(page.locator(".chip")).to_have_count(1)
    expect(page.locator(".card").first).to_have_attribute("data-id", "red")


def test_a_sound_finds_and_the_microphone_is_heard(page, tmp_path):
    (tmp_path / "tone.wav").write_bytes(wav_bytes(tone(2), RATE))
    page.locator("#file").set_input_files(tmp_path / "tone.wav")
    expect(page.locator(".card").first).to_have_attribute("data-id", "blue")
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("button", name="Stop")).to_have_attribute("aria-pressed", "true")
    page.wait_for_timeout(1200)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".chip")).to_have_count(2)
    expect(page.get_by_role("status").first).to_contain_text("nearest")
    expect(page.locator("#error")).to_be_hidden()


def test_more_like_this_by_the_keyboard_alone(page):
    page.get_by_label("What do you look for?").focus()
    page.keyboard.type("green")
    page.keyboard.press("Enter")
    expect(page.locator(".card").first).to_have_attribute("data-id", re.compile("green|yellow|words|twin"))
    first = page.locator(".card").first.get_attribute("data-id")
    page.locator(".card").first.get_by_role("button", name=re.compile("More like")).focus()
    page.keyboard.press("Enter")
    expect(page.locator(".chip")).to_have_count(1)
    expect(page.locator(f'.card[data-id="{first}"]')).to_have_count(0)
    page.locator(".card").first.get_by_role("button", name=re.compile("Details")).last.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_what_goes_wrong_is_told(page, tmp_path):
    page.expected.append(422)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    page.locator("#file").set_input_files(tmp_path / "broken.png")
    expect(page.get_by_role("alert")).to_contain_text("not a picture in any of the formats")
    page.get_by_role("button", name="Remove broken.png").click()
    expect(page.get_by_role("alert")).to_be_hidden()
    (tmp_path / "a.mp4").write_bytes(b"clip")
    page.locator("#file").set_input_files(tmp_path / "a.mp4")
    expect(page.get_by_role("alert")).to_contain_text("searched by picture, words, sound")


def test_filters_say_which_field_is_compared(page):
    page.get_by_label("What do you look for?").fill("red")
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("sound", exact=True).check()
    expect(page.get_by_role("status").first).to_contain_text("4 nearest of 8 items, compared with their sound")
    assert {card.inner_text().split("by ")[1].strip() for card in page.locator(".facts").all()} == {"sound"}


def test_all_items_are_browsed_page_by_page(page):
    """By the keyboard: whoever asks for more goes on at the first of what came."""
    more, told = page.locator("#more"), page.get_by_role("status").first
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Results").evaluate("box => { box.options[0].textContent = 3; box.value = '3'; }")
    more.focus()
    page.keyboard.press("Enter")
    expect(told).to_contain_text("The first 3 of 8 items, in the order of their names")
    assert cards(page) == ["blue", "clip", "green"] and page.locator("#results .score").count() == 0
    expect(page.locator(".card").first.get_by_role("button").first).to_be_focused()
    expect(more).to_have_text("More")
    more.click()
    expect(told).to_contain_text("The first 6 of 8")
    expect(page.locator(".card").nth(3).locator("button, audio").first).to_be_focused()
    more.click()
    expect(told).to_contain_text("All 8 of 8 items")
    expect(more).to_be_hidden()
    assert cards(page) == sorted(cards(page)) and len(set(cards(page))) == 8
    page.get_by_label("Only where").fill("page >= 1")
    page.keyboard.press("Tab")
    expect(told).to_contain_text("All 2 items where page >= 1")
    assert cards(page) == ["blue", "green"]
    page.get_by_label("What do you look for?").fill("green")
    expect(told).to_contain_text("The 2 nearest")
    assert cards(page) == ["green", "blue"] and not more.is_visible()
    page.get_by_label("What do you look for?").fill("")
    expect(told).to_contain_text("All 2 items where page >= 1")
    page.expected.append(422)
    page.get_by_label("Only where").fill("page >=")
    page.keyboard.press("Tab")
    expect(page.get_by_role("alert")).to_contain_text("xpected a number")


def test_words_count_and_what_looks_the_same_is_told_as_one(page):
    page.get_by_label("What do you look for?").fill("img_2041 thing")
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("The very words, too").check()
    expect(page.get_by_role("status").first).to_contain_text("and by the very words")
    assert "twin" in cards(page)[:4]
    page.get_by_label("What do you look for?").fill("red and green")
    page.get_by_label("The very words, too").uncheck()
    page.get_by_label("picture", exact=True).check()
    page.get_by_label("Tell what looks the same as one").check()
    expect(page.get_by_role("status").first).to_contain_text("The 4 nearest of 8 items, compared with their picture")
    best = page.locator(".card").first
    hidden = {"twin", "yellow"} - {best.get_attribute("data-id")}
    best.get_by_role("button", name=re.compile("1 nearly the same")).click()
    expect(page.locator(".card")).to_have_count(5)
    assert {page.locator(".card").nth(1).get_attribute("data-id")} == hidden
    best.get_by_role("button", name=re.compile("1 nearly the same")).click()
    expect(page.locator(".card")).to_have_count(4)


def test_a_clip_shows_the_moment_at_which_it_was_found(page):
    page.get_by_label("What do you look for?").fill("red green blue")
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("words", exact=True).check()
    clip = page.locator('.card[data-id="clip"]')
    expect(clip.get_by_role("button", name=re.compile("Play the clip"))).to_be_visible()
    poster = clip.locator("video").get_attribute("poster") or ""
    assert poster == "/items/clip/thumbnail?at=1"  # it was found as a whole
    told = page.evaluate(
        """async poster => {
            const {card} = await import("/page/gallery.js");
            const hit = {id: "clip", field: "video", start: 2.5, end: 3, caption: "", score: 1, files: {video: "a clip.mp4"}};
            const found = card(hit, 1).querySelector("video");
            const image = new Image();
            image.src = found.poster;
            await image.decode();
            const canvas = Object.assign(document.createElement("canvas"), {width: 1, height: 1});
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0, 1, 1);
            return [found.poster, found.src, ...context.getImageData(0, 0, 1, 1).data];
        }""",
        poster,
    )
    assert told[0].endswith("/thumbnail?at=2.5") and told[1].endswith("#t=2.5,3")
    assert told[4] > 150 > told[2] and told[3] < 150  # blue


def test_the_map_is_wandered_by_the_keyboard(page):
    page.get_by_role("tab", name="Map").click()
    expect(page.locator("#map-status")).to_contain_text("items;")
    page.locator("#canvas").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#map-item")).to_contain_text(re.compile("thing|red and green"))
    page.keyboard.press("+")
    page.keyboard.press("Enter")
    expect(page.locator(".chip")).to_contain_text("like")
    expect(page.get_by_role("tab", name="Search")).to_have_attribute("aria-selected", "true")


def test_tabs_are_there_for_what_the_model_can(page):
    assert [tab.inner_text() for tab in page.get_by_role("tab").all()] == ["Search", "Map"]
    page.get_by_role("tab", name="Search").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Map")).to_be_focused()


def test_everything_that_can_be_reached_has_a_name(page):
    page.get_by_label("What do you look for?").fill("blue")
    expect(page.get_by_role("status").first).to_contain_text("nearest")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input:not([hidden]), select, img, audio, video, canvas, a")]
            .filter(one => one.checkVisibility() && !(one.getAttribute("aria-label") || one.innerText?.trim() || one.alt
                || one.labels?.length || one.hasAttribute("alt") || one.type === "file"))
            .map(one => one.outerHTML)"""
    )
    assert nameless == []
    assert page.locator("main").count() == page.locator("header").count() == page.locator("h1").count() == 1


def test_a_hit_tells_why_it_was_found_by_the_keyboard_alone(page, telling):
    page.at = telling
    page.goto(telling)
    expect(page.locator(".card")).not_to_have_count(0)
    expect(page.get_by_role("button", name=re.compile("^Why"))).to_have_count(0)  # nothing was asked for
    page.get_by_label("What do you look for?").fill("red dog")
    expect(page.get_by_role("status").first).to_contain_text("nearest of 5 items")
    for id, like in (
        ("sound", "red is like it from .* s, "),
        ("clip", "red is like frame"),
        ("picture", "red is like the patch"),
    ):
        button = page.locator(f'.card[data-id="{id}"]').get_by_role("button", name=re.compile("^Why"))
        button.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        shown = page.get_by_role("dialog").locator("figure.why")
        expect(shown).to_have_count(1)
        expect(shown.locator("img")).to_have_attribute("alt", re.compile(r"'red' is like .*; 'dog' is like .*0\.\d\d$"))
        expect(shown.locator("li").first).to_contain_text(re.compile(like))
        assert shown.locator("img").evaluate("image => image.complete && image.naturalWidth") > 200
        if id != "picture":
            page.keyboard.press("Escape")
            expect(page.get_by_role("dialog")).to_be_hidden()
            expect(button).to_be_focused()


def test_a_text_is_marked_and_a_picture_asks_why_too(page, telling, tmp_path):
    page.at = telling
    page.goto(telling)
    page.get_by_label("What do you look for?").fill("red cat")
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("words", exact=True).check()
    expect(page.get_by_role("status").first).to_contain_text("compared with their words")
    page.locator('.card[data-id="note"]').get_by_role("button", name=re.compile("^Why")).click()
    expect(page.get_by_role("dialog").locator(".marks")).to_have_text("blue cat")
    page.get_by_role("button", name="Close", exact=True).click()
    (tmp_path / "some.png").write_bytes(png_bytes(np.full((16, 16, 3), 90, np.uint8)))
    page.locator("#file").set_input_files(tmp_path / "some.png")
    expect(page.locator(".chip")).to_have_count(1)
    expect(page.locator("#results")).not_to_have_attribute("aria-busy", "true")
    page.get_by_label("words", exact=True).uncheck()
    page.get_by_label("picture", exact=True).check()
    expect(page.get_by_role("status").first).to_contain_text("compared with their picture")
    page.locator('.card[data-id="other"]').get_by_role("button", name=re.compile("^Why")).click()
    expect(page.get_by_role("dialog").locator("figure.why img")).to_have_count(2)
    expect(page.get_by_role("dialog")).to_contain_text("What was looked for: words")
    expect(page.get_by_role("dialog")).to_contain_text("the picture is like the patch")


def test_where_the_model_cannot_tell_why_nothing_asks_for_it(page):
    page.get_by_label("What do you look for?").fill("blue")
    expect(page.get_by_role("status").first).to_contain_text("nearest")
    expect(page.get_by_role("button", name=re.compile("^Why"))).to_have_count(0)


def test_pictures_without_words_are_told_by_the_captioner(page, telling):
    """Of the cards to begin with, of what is found, and in the dialog; each is asked for once."""
    asked: list[str] = []

    def about(route):
        route.fulfill(json={**route.fetch().json(), "can": {"caption": ["image"]}})

    def caption(route):
        asked.append(route.request.post_data_json["id"])
        route.fulfill(json={"texts": [{"text": "a grey square", "score": -1.0}]})

    page.route("**/about", about)
    page.route("**/caption", caption)
    page.at = telling
    page.goto(telling)
    card = page.locator('.card[data-id="other"]')
    expect(card.locator("img")).to_have_attribute("alt", "a grey square")
    page.get_by_label("What do you look for?").fill("red dog")
    expect(page.get_by_role("status").first).to_contain_text("nearest of 5 items")
    expect(card.locator("img")).to_have_attribute("alt", "a grey square")
    card.locator("button.quiet", has_text="Details").click()
    expect(page.get_by_role("dialog").locator("img")).to_have_attribute("alt", "a grey square")
    expect(page.get_by_role("dialog")).to_contain_text("in words")
    assert asked == ["other"]


def test_words_that_were_never_learned_are_told(page):
    """As the server names them, in the search and beside an answer, which says how sure it is."""
    can = {"caption": ["image"], "ask": ["image"]}
    page.route("**/about", lambda route: route.fulfill(json={**route.fetch().json(), "can": can}))
    page.route("**/search", lambda route: route.fulfill(json={**route.fetch().json(), "unknown": ["<dog>", "cat"]}))
    page.route("**/ask", lambda route: route.fulfill(json={"texts": [{"text": "red", "score": -0.693147}], "unknown": ["dog"]}))
    page.route("**/caption", lambda route: route.fulfill(json={"texts": [{"text": "a thing", "score": -1.0}], "unknown": []}))
    page.goto(page.at)
    page.get_by_label("What do you look for?").fill("red")
    expect(page.get_by_role("status").first).to_contain_text("The model never learned “<dog>”, “cat”: it only guesses.")
    page.locator(".card").first.locator("button.quiet", has_text="Details").click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("^Ask")).click()
    page.get_by_label("Your question").fill("is it a dog?")
    page.locator("#ask-form button.primary").click()
    told = page.locator("#ask-form .told")
    expect(told).to_contain_text("probability 0.50")
    expect(told).to_contain_text("The model never learned “dog”: it only guesses.")
    assert told.locator("p").all_inner_texts()[0] == "red"


def test_the_page_for_programs(page, address):
    page.goto(f"{address[0]}/docs")
    expect(page.get_by_role("heading", name="POST /search")).to_be_visible()
    expect(page.locator("body")).to_contain_text("curl")
