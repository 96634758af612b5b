"""What autogenerate may touch of what it finds in the database."""


def include_object(
    item: object,
    name: str | None,
    kind: str,
    reflected: bool,
    compare_to: object,
) -> bool:
    """Return False for what is not this project's: see docs/adopting-a-database.md.

    `kind` is "table", "column", "index", "unique_constraint", "foreign_key_constraint" or
    "check_constraint". `reflected` means found in the database, `compare_to` is its counterpart.
    """
    return True
