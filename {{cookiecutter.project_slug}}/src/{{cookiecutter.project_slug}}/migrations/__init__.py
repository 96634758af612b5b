"""The schema's revisions, and Alembic's configuration for programs."""

from alembic.config import Config
from alembic.script import ScriptDirectory

from ..settings import Settings


def alembic_config(settings: Settings | None = None) -> Config:
    """What alembic.ini is to the command line, for alembic.command: `upgrade(config, "head")`.

    The database is that of the settings, by default the environment's. An engine or a connection,
{% if cookiecutter.engine == "async" %}
    sync or async, may be given instead, as `config.attributes["connection"]`. In a running event
    loop `await asyncio.to_thread(upgrade, config, "head")` leaves the loop free; with a connection
    of that loop it is `await connection.run_sync(lambda _: upgrade(config, "head"))`.
{% else %}
    may be given instead, as `config.attributes["connection"]`.
{% endif %}
    A connection that is in a transaction is migrated within it, and without the lock, the timeouts
    and the retries of running.py.
    """
    config = Config(attributes={"settings": settings})
    config.set_main_option("script_location", __name__.replace(".", ":"))
    return config


def heads() -> list[str]:
    """The newest revisions that this installation knows: none, or one, or unmerged branches."""
    return ScriptDirectory.from_config(alembic_config()).get_heads()
