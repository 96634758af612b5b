"""Queries, one module for each model: they take a session, and neither begin nor commit."""
