"""Mermaid itself draws every diagram of the rendered documents."""

import functools
import re
from collections.abc import Callable

import mermaidx
import pytest
from projects import KINDS, BakedProject

pytestmark = pytest.mark.slow

DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```", re.MULTILINE | re.DOTALL)


@functools.cache
def drawn(diagram: str) -> str:
    """The kind of diagram that Mermaid has drawn; a diagram that it cannot read raises."""
    [kind] = re.findall(r'aria-roledescription="([^"]+)"', mermaidx.render(diagram).svg())
    return str(kind)


@pytest.mark.parametrize("answers", KINDS)
def test_every_diagram_is_drawn(
    render: Callable[..., BakedProject], answers: dict[str, str]
) -> None:
    found = {}
    for path in (render(**answers).path / "docs").glob("*.md"):
        for diagram in DIAGRAM.findall(path.read_text()):
            found[path.name] = drawn(diagram)
    expected = {"connection-pooling.md": "flowchart-v2", "migrations.md": "flowchart-v2"}
    if answers["fastapi"] == "yes":
        expected["sessions.md"] = "sequence"
    assert found == expected


@pytest.mark.parametrize("broken", ["flowchart LR\n a[x --> b", "sequenceDiagram\n A->>>>B hello"])
def test_a_broken_diagram_is_refused(broken: str) -> None:
    with pytest.raises(RuntimeError, match="Parse error on line"):
        drawn(broken)
