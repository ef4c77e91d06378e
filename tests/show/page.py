"""Reads a page as a browser would, as far as the tests need: which tags it has, what they refer to, what it says."""

import re
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    def __init__(self, path: Path):
        super().__init__(convert_charrefs=True)
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(self.source)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open and self._open[-1] == tag, f"</{tag}> closes {self._open[-3:]}"
        self._open.pop()
        self.text += " " if tag in ("td", "th", "dt") else ""

    def handle_data(self, data):
        if "style" not in self._open:
            self.text += data

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [a for t, a in self.tags if t == tag and all(a.get(k) == v for k, v in attributes.items())]

    def check_alone(self) -> None:
        """Nothing of the page lies outside of it, and no two of its things share an id."""
        assert not re.search(r"https?://", self.source)
        for _, attributes in self.tags:
            for name in ("src", "href"):
                assert (attributes.get(name) or "data:").startswith(("data:", "#"))
        assert not self.all("script") and not self.all("link")
        ids = [attributes["id"] for _, attributes in self.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        wanted = {a["href"] for _, a in self.tags if (a.get("href") or "").startswith("#")}
        wanted |= set(re.findall(r"url\((#[^)]+)\)", self.source))
        assert wanted <= {f"#{i}" for i in ids}
