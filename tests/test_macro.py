"""templates/engine.jinja changes code, and only code: what it would damage is refused here."""

import inspect
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator

import pytest
from jinja2 import Environment, FileSystemLoader
from projects import PROJECT, TEMPLATE

ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATE / "templates"), trim_blocks=True, lstrip_blocks=True
)
TABLE: list[tuple[str, str]] = ENVIRONMENT.get_template("engine.jinja").module.sync_names  # type: ignore[attr-defined]  # what the template sets
# What the macro replaces.
TOKENS = [token for token, _ in TABLE]
BLOCK = re.compile(r"\{% call for_engine\(\) %\}\n(.*?)\{% endcall %\}", re.DOTALL)
FENCE = re.compile(r"^```\w*\n.*?^```$", re.MULTILINE | re.DOTALL)
INDENTED_CODE = re.compile(r"^ {4}.*$", re.MULTILINE)
INLINE_CODE = re.compile(r"`[^`\n]*`")
# In a sync project, the parenthesis would be left over.
PARENTHESISED_AWAIT = re.compile(r"\(await ")


def blocks(text: str) -> list[str]:
    """The text of each block for the macro, without the tags in it."""
    found = [re.sub(r"^\{%.*%\}\n", "", block, flags=re.MULTILINE) for block in BLOCK.findall(text)]
    return [re.sub(r"\{\{.*?\}\}", "x", block) for block in found]


def occurs(token: str, text: str) -> bool:
    """Whether the token stands in the text, and is no part of a longer name."""
    before = r"(?<!\w)" if token[0].isidentifier() else ""
    after = r"(?!\w)" if token[-1].isidentifier() else ""
    return re.search(before + re.escape(token) + after, text) is not None


def prose_of(path: str, text: str) -> Iterator[str]:
    """What people read in the blocks: Markdown outside of code, strings and comments of Python."""
    if path.endswith(".md"):
        yield from blocks(INLINE_CODE.sub("", FENCE.sub("", text)))
        return
    for block in blocks(text):
        for token in tokenize.generate_tokens(io.StringIO(textwrap.dedent(block)).readline):
            if token.type in {tokenize.STRING, tokenize.COMMENT}:
                text = inspect.cleandoc(token.string.strip('"'))
                yield INLINE_CODE.sub("", INDENTED_CODE.sub("", text))


def damage(path: str, text: str) -> list[str]:
    """What the macro would do harm to in a file."""
    found = [
        f"{path}: {token!r} in {prose.strip()[:60]!r}"
        for prose in prose_of(path, text)
        for token in TOKENS
        if occurs(token, prose)
    ]
    awaits = [match[0] for block in blocks(text) for match in PARENTHESISED_AWAIT.finditer(block)]
    return found + [f"{path}: {text!r}" for text in awaits]


FILES = {
    path.relative_to(directory).as_posix(): path.read_text()
    for directory in (TEMPLATE / PROJECT, TEMPLATE / "tests" / "machinery")
    for path in sorted(directory.rglob("*"))
    if path.suffix in {".py", ".md"}
}
CALL = "{% call for_engine() %}\n"
END = "{% endcall %}\n"


@pytest.mark.parametrize("path", FILES)
def test_nothing_in_a_block_is_damaged(path: str) -> None:
    assert damage(path, FILES[path]) == []


@pytest.mark.parametrize("token", TOKENS, ids=repr)
def test_every_row_of_the_table_is_used(token: str) -> None:
    assert any(occurs(token, block) for text in FILES.values() for block in blocks(text))


@pytest.mark.parametrize(
    ("path", "block"),
    [
        ("a.py", 'async def f() -> None:\n    """Callers must await the result."""\n'),
        ("a.py", 'x = "an async def of yours"\n'),
        ("a.py", "x = 1  # an AsyncSession\n"),
        ("a.py", "assert (await f()).status == 200\n"),
        ("a.md", "You await the result.\n"),
        ("a.md", "```python\nassert (await f()).status == 200\n```\n"),
    ],
)
def test_damage_is_found(path: str, block: str) -> None:
    assert damage(path, CALL + block + END)


@pytest.mark.parametrize(
    ("path", "block"),
    [
        ("a.py", "async def f() -> None:\n    await g()\n"),
        ("a.py", 'x = "awaiting AsyncSessions"\n'),
        ("a.md", "You `await` the result.\n```python\nawait f()\n```\n"),
    ],
)
def test_code_and_other_words_are_left_alone(path: str, block: str) -> None:
    assert damage(path, CALL + block + END) == []


def test_only_whole_names_are_replaced() -> None:
    """`AsyncSessions` and `my_await ` are other names than the table's."""
    source = (
        '{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}\n'
        "async def f(AsyncSessions, my_AsyncSession, session: AsyncSession): await g()\n"
        "{% endcall %}\n"
    )
    rendered = ENVIRONMENT.from_string(source).render(cookiecutter={"engine": "sync"})
    assert rendered == "def f(AsyncSessions, my_AsyncSession, session: Session): g()\n"
