"""Print the status of the database; the exit status is 0 if it answers, else 1."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
import asyncio
import sys

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from .database import Database
from .migrations import heads
from .settings import Settings, SettingsError


async def status() -> list[str]:
    """Return lines about the server, the schema and the pools; raises SQLAlchemyError."""
    settings = Settings()
    async with Database(settings) as database:
        revision = await database.ping()
        async with database.read_only() as session:
            server = await session.scalar(text("SHOW server_version"))
            max_connections = await session.scalar(text("SHOW max_connections"))
    # A pool for writes, one for reads, and one connection for ping().
    needed = 2 * (settings.database_pool_size + settings.database_max_overflow) + 1
    expected = ", ".join(sorted(heads())) or None
    agreement = "the head" if revision == expected else f"the head is {expected}"
    return [
        f"server: PostgreSQL {server}",
        f"revision: {revision} ({agreement})",
        f"pools: a process opens at most {needed} of the server's {max_connections} connections",
    ]


def main() -> int:
    try:
        lines = asyncio.run(status())
    except (SQLAlchemyError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
{% endcall %}
