"""What `portkey-testing demo` shows, from the sources; `scripts/demo` runs it."""

from __future__ import annotations

from portkey_testing._cli import demo

if __name__ == "__main__":
    demo.main()
