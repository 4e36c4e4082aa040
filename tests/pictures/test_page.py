"""Pages of pairs stand alone and say what they are told, whatever it holds."""

from __future__ import annotations

from html.parser import HTMLParser

from PIL import Image

from transfer.pictures.page import SideBySide, pairs_page


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for key, value in attrs if key in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_holds_its_images_and_nothing_is_fetched_or_run() -> None:
    image = Image.new("RGB", (8, 6), (200, 30, 40))
    hostile = "<script>alert(1)</script>.jpg"
    reader = Reader()
    reader.feed(pairs_page("a & b", ["one line"], {"Duplicate": [SideBySide(image, image, (hostile, "second"))]}))
    assert reader.sources and all(source.startswith("data:image/jpeg;base64,") for source in reader.sources)
    assert "script" not in reader.tags
    assert all(text in reader.text for text in ("a & b", "one line", hostile, "second"))


def test_no_pairs_are_a_page_too() -> None:
    assert "<h1>nothing</h1>" in pairs_page("nothing", [], {})
