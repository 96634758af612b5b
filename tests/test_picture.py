"""The picture of the README shows what is printed today."""

import re
from collections.abc import Callable
from html import unescape
from xml.etree import ElementTree

import pytest
from projects import TEMPLATE, BakedProject

PICTURE = TEMPLATE / "docs" / "terminal.svg"


def test_the_picture_shows_the_closing_message(
    bake: Callable[..., BakedProject], capfd: pytest.CaptureFixture[str]
) -> None:
    """Else draw it again: uv run python docs/draw_terminal.py"""
    bake()
    said = capfd.readouterr().err.splitlines()
    ElementTree.parse(PICTURE)
    drawn = unescape(PICTURE.read_text()).replace("\xa0", " ")
    pieces = [piece.strip() for piece in re.findall(r">([^<]+)</text>", drawn)]
    assert [line.strip() for line in said if not line.startswith("    cd ")] == [
        piece for piece in pieces if piece in {line.strip() for line in said}
    ]
    assert any(re.fullmatch(r"=*|\d+ passed", piece) for piece in pieces)
    assert "docs/terminal.svg" in (TEMPLATE / "README.md").read_text()


def test_the_picture_asks_no_other_site() -> None:
    addresses = re.findall(r"https?://[^\"' )]+", PICTURE.read_text())
    assert set(addresses) <= {"http://www.w3.org/2000/svg", "https://www.textualize.io"}
