"""{{ cookiecutter.project_slug }}: settings, the database layer, models and their queries."""
