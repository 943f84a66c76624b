"""Processes that belong to this one: several workers, a Valkey server, the services of the demo."""
