"""The revisions of the schema, and Alembic's configuration for programs."""

from alembic.config import Config
from alembic.script import ScriptDirectory

from ..settings import Settings


def alembic_config(settings: Settings | None = None) -> Config:
    """Return the configuration for alembic.command: `upgrade(alembic_config(), "head")`.

    It uses the database of the settings, by default those of the environment. You can set
    `config.attributes["connection"]` to an engine or a connection instead.
{% if cookiecutter.engine == "async" %}
    Both may be sync or async. In a running event loop, call
    `await asyncio.to_thread(upgrade, config, "head")`. With a connection of that loop, call
    `await connection.run_sync(lambda _: upgrade(config, "head"))`.
{% endif %}
    On a connection that is in a transaction, the migrations are a part of it, without the lock, the
    timeouts and the retries of locking.py.
    """
    config = Config(attributes={"settings": settings})
    config.set_main_option("script_location", __name__.replace(".", ":"))
    return config


def heads() -> list[str]:
    """Return the newest revisions that this installation knows: none, one, or unmerged branches."""
    return ScriptDirectory.from_config(alembic_config()).get_heads()
