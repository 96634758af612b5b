"""What to do where Alembic says only what is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import context
from alembic.util import CommandError, to_tuple


@contextmanager
def advice() -> Iterator[None]:
    """Add to an error about branches, or about a database that lags behind, what to do."""
    try:
        yield
    except CommandError as error:
        message = str(error)
        heads = " and ".join(context.script.get_heads())
        if message.startswith("Multiple head"):
            raise CommandError(
                f"There are several heads: {heads}. They were made side by side. "
                'Join them with `alembic merge heads -m "merge"`, then upgrade again. '
                "Or apply all of them with `alembic upgrade heads`."
            ) from error
        if message == "Ambiguous walk":
            raise CommandError(
                "The database is where revisions were made side by side, or joined, so a number of "
                "steps is not enough. Name the revision to go to: "
                f"{' or '.join(_neighbours())}."
            ) from error
        if message.startswith("Target database is not up to date"):
            raise CommandError(
                "The database lacks revisions. Run `alembic upgrade heads` first."
            ) from error
        raise


def _neighbours() -> list[str]:
    """The revisions just before and just after those of the database."""
    script = context.script
    revisions = [script.get_revision(head) for head in context.get_context().get_current_heads()]
    names = [name for found in revisions for name in to_tuple(found.down_revision, default=())]
    names += [name for found in revisions for name in sorted(found.nextrev)]
    return list(dict.fromkeys(names))
