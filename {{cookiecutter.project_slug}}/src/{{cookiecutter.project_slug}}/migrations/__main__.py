"""Alembic's command line and `backfill`, wherever the package is installed: no alembic.ini."""

from alembic.config import CommandLine

from . import alembic_config
from .backfill import backfill


def main() -> None:
    command_line = CommandLine(prog=f"python -m {__package__}")
    command_line.register_command(backfill)
    options = command_line.parser.parse_args()
    if "cmd" not in options:
        command_line.parser.error("name a command")
    config = alembic_config()
    config.cmd_opts = options
    command_line.run_cmd(config, options)


if __name__ == "__main__":
    main()
