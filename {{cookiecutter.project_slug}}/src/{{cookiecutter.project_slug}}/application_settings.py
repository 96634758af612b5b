"""The application's own settings, beside those of the database."""

from .settings import EnvironmentSettings


class ApplicationSettings(EnvironmentSettings):
    """What the application needs from the environment; README.md says how to add a setting."""
