"""Mermaid itself reads every diagram of the rendered documents."""

import importlib.util
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import KINDS, BakedProject

# What Mermaid and DOMPurify look for in a browser while they are loaded; nothing is drawn.
BROWSER = """
var window = globalThis, self = globalThis;
var navigator = {userAgent: "", platform: ""}, location = {href: "", origin: ""};
var ignore = () => {};
var console = {log: ignore, warn: ignore, error: ignore, info: ignore, debug: ignore};
var document = {nodeType: 9, addEventListener: ignore, createElement: () => ({style: {}}),
    implementation: {}, querySelector: () => null, querySelectorAll: () => [], body: {}};
window.addEventListener = ignore;
for (const name of ["Node", "Element", "HTMLTemplateElement", "NodeFilter", "DocumentFragment",
    "HTMLFormElement", "DOMParser", "NamedNodeMap"]) globalThis[name] = class {};
"""
DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def parse() -> Callable[[str], str]:
    """What Mermaid says of a diagram: its type, or "Error: …"."""
    mini_racer = pytest.importorskip("py_mini_racer")
    spec = importlib.util.find_spec("artoo_mermaid")
    if not spec or not spec.submodule_search_locations:
        pytest.skip("the package that ships mermaid.min.js needs Python 3.12")
    [script] = Path(spec.submodule_search_locations[0]).rglob("mermaid.min.js")
    context = mini_racer.MiniRacer()
    context.eval(BROWSER)
    context.eval(script.read_text())

    def parse(diagram: str) -> str:
        context.eval(
            f"var said; mermaid.parse({json.dumps(diagram)})"
            ".then(found => said = found.diagramType, error => said = `Error: ${error}`)"
        )
        deadline = time.monotonic() + 10
        while not (said := context.eval("said")) and time.monotonic() < deadline:
            time.sleep(0.01)
        return str(said)

    return parse


@pytest.mark.parametrize("answers", KINDS)
def test_every_diagram_is_read(
    parse: Callable[[str], str], bake: Callable[..., BakedProject], answers: dict[str, str]
) -> None:
    found = {}
    for path in (bake(**answers).path / "docs").glob("*.md"):
        for diagram in DIAGRAM.findall(path.read_text()):
            found[path.name] = parse(diagram)
    expected = {"connection-pooling.md": "flowchart-v2", "migrations.md": "flowchart-v2"}
    if answers["fastapi"] == "yes":
        expected["sessions.md"] = "sequence"
    assert found == expected


@pytest.mark.parametrize("broken", ["flowchart LR\n a[x --> b", "sequenceDiagram\n A->>>>B hello"])
def test_a_broken_diagram_is_refused(parse: Callable[[str], str], broken: str) -> None:
    assert parse(broken).startswith("Error: ")
