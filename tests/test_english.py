"""The documents are written in plain English: one short sentence per line."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from projects import KINDS, TEMPLATE, BakedProject

CODE_BLOCK = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
# Headings, tables, images, indented code, and the path of the file that a code block holds.
NOT_PROSE = re.compile(r"#|\||!\[| {4}|`[^`]+`$|$")
LIST_MARKER = re.compile(r" *(-|\d+\.) ")
CODE_OR_TARGET = re.compile(r"`[^`]*`|(?<=\])\([^)]*\)")
CLOSING = r"[)\]*_\"']*"


def faults(document: str) -> Iterator[str]:
    """Yield each line of prose that is not one sentence with at most one colon or semicolon."""
    without_code = CODE_BLOCK.sub(lambda block: "\n" * block[0].count("\n"), document)
    for number, line in enumerate(without_code.splitlines(), 1):
        if NOT_PROSE.match(line):
            continue
        sentence = CODE_OR_TARGET.sub("x", LIST_MARKER.sub("", line, count=1))
        if not re.search(rf"[.:!?]{CLOSING}$", sentence):
            yield f"{number}: the line does not end with a sentence: {line}"
        if re.search(rf"[.!?]{CLOSING} ", sentence):
            yield f"{number}: the line holds two sentences: {line}"
        if len(re.findall("[:;]", sentence)) > 1:
            yield f"{number}: the sentence has several colons or semicolons: {line}"


@pytest.mark.parametrize("answers", KINDS)
def test_each_line_of_a_rendered_document_is_one_short_sentence(
    render: Callable[..., BakedProject], answers: dict[str, Any]
) -> None:
    project = render(**answers)
    documents = {path.name: path.read_text() for path in project.path.rglob("*.md")}
    assert {"README.md", "sessions.md"} <= documents.keys()
    assert [(name, *faults(text)) for name, text in documents.items() if [*faults(text)]] == []


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "AGENTS.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/scaling.md",
        "benchmarks/growth.md",
        "benchmarks/results.md",
    ],
)
def test_each_line_of_the_templates_own_documents_is_one_short_sentence(name: str) -> None:
    assert [*faults((TEMPLATE / name).read_text())] == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        pytest.param("This sentence goes on", "does not end", id="wrapped"),
        pytest.param("- An item without an end", "does not end", id="wrapped-item"),
        pytest.param("This is one. This is two.", "two sentences", id="two"),
        pytest.param("**This is one.** `this` is two.", "two sentences", id="two-in-markup"),
        pytest.param("Three parts: one; two.", "several colons", id="two-colons"),
        pytest.param("Do this: then do that:", "several colons", id="colon-at-the-end"),
    ],
)
def test_a_line_that_is_not_one_short_sentence_is_noticed(line: str, fault: str) -> None:
    (found,) = faults(f"# Heading\n\n{line}\n")
    assert found.startswith("3: ")
    assert fault in found


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("See [engine.py](a/b.py): it is short.", id="link"),
        pytest.param("1. Run `a: b; c. d`.\n   Then wait.", id="code-in-a-list"),
        pytest.param("| a: b; c. D | e |", id="table"),
        pytest.param("Write this:\n\n```python\na: b; c. D\n```", id="code-block"),
        pytest.param("1. Write this:\n\n   ```python\n   a: b; c. D\n   ```", id="code-in-an-item"),
        pytest.param("`src/a.py`\n\n```python\na\n```", id="path"),
    ],
)
def test_what_is_no_prose_is_left_alone(text: str) -> None:
    assert [*faults(text)] == []
