"""`ConnectionLimits`: how many connections to the providers there are, and for how long."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Of all the providers of a worker together."""

    max_connections: int = 10_000
    """One connection a stream: how many there are is decided by the worker, never by the pool."""
    max_idle_connections: int = 1_000
    """How many are kept for the next call."""
    idle_seconds: float = 60.0
    """How long they are kept."""
    warm_connections: int = 2
    """How many are made to each address before the first call needs them."""
    closed_seconds: float = 1.0
    """Within which a connection that was closed already is found to be."""
