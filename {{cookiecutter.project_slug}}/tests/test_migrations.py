"""The revisions agree with the models, can be undone, and suit a live database."""

import subprocess
import sysconfig
from io import StringIO
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from {{ cookiecutter.project_slug }}.migrations import alembic_config, heads
from {{ cookiecutter.project_slug }}.settings import Settings, parse_database_url

from .databases import execute

PROJECT = Path(__file__).parents[1]
NEWEST_FIRST = list(ScriptDirectory.from_config(alembic_config()).walk_revisions())
# Relations are tables, indexes, sequences and views.
OBJECTS = """
    SELECT 'relation', relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'type', typname FROM pg_type WHERE typnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'function', proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""


@pytest.fixture
def config(empty_url: str) -> Config:
    return alembic_config(Settings(database_url=empty_url))


def test_there_is_at_most_one_head() -> None:
    assert len(heads()) <= 1, "two branches: join them by `alembic merge heads`"


def test_models_and_revisions_agree(config: Config) -> None:
    command.upgrade(config, "heads")
    command.check(config)  # raises, and names what differs


def test_every_revision_can_be_undone_and_done_again(config: Config) -> None:
    for script in reversed(NEWEST_FIRST):
        command.upgrade(config, script.revision)
        if not script.is_merge_point:
            command.downgrade(config, str(script.down_revision or "base"))
            command.upgrade(config, script.revision)


def test_undoing_all_leaves_nothing_behind(config: Config, empty_url: str) -> None:
    command.upgrade(config, "heads")
    command.downgrade(config, "base")
    objects = execute(parse_database_url(empty_url), OBJECTS)
    assert [name for _, name in objects if "alembic_version" not in name] == []


def test_squawk_accepts_the_sql_of_every_revision() -> None:
    config = alembic_config()
    config.output_buffer = StringIO()
    command.upgrade(config, "heads", sql=True)
    squawk = subprocess.run(
        [Path(sysconfig.get_path("scripts")) / "squawk", "--config", PROJECT / ".squawk.toml"],
        input=config.output_buffer.getvalue(),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert squawk.returncode == 0, squawk.stdout
