"""`ConnectionLimits`: how many connections to the providers are opened, and how long they are kept."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """The limits to the connections of all providers of a worker together."""

    max_connections: int = 10_000
    """The size of the pool. Each stream takes one connection, and the worker limits the number of streams, so the pool
    must never be full."""
    max_idle_connections: int = 1_000
    """How many idle connections are kept for later calls."""
    idle_seconds: float = 60.0
    """How long an idle connection is kept."""
    warm_connections: int = 2
    """How many connections to each address are opened before the first call needs them."""
    closed_seconds: float = 1.0
    """How soon a connection that was closed before a request is found to be closed."""
