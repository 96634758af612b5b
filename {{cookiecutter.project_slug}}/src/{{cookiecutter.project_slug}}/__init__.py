"""Settings, the database layer, models and their queries."""
