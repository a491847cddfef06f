"""Code as users write it, and its tests; `scripts/demo` runs `demo.py`."""
