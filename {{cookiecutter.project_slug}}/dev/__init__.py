"""Tools of a developer, not of the service: a private PostgreSQL for development and tests."""
