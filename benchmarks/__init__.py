"""The speed of the rendered services and of generating them: `python -m benchmarks`."""
