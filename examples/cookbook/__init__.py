"""The recipes of docs/cookbook.md: each an application as one would ship it, and the tests that hold it."""
