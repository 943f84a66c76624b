"""The guards of a request: they remove, block or judge text that a person must not see."""
