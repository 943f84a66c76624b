"""The guards of a request: what must not be shown is removed, blocked or judged."""
