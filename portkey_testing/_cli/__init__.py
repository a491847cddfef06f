"""What the command `portkey-testing` does; `cli` starts it."""
