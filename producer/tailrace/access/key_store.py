"""`KeyStore`: where API keys are kept, in Redis or in a file."""

from pathlib import Path
from typing import Protocol

from tailrace.access.access import Access
from tailrace.access.api_key import ApiKey, KeyLimits, NewApiKey


class KeyStore(Protocol):
    """Where API keys are kept."""

    async def create(self, *, tenant: str, name: str = "", limits: KeyLimits | None = None) -> NewApiKey:
        """Create a key."""
        ...

    async def read_all(self) -> list[ApiKey]:
        """Return all keys, the oldest first."""
        ...

    async def revoke(self, key_id: str) -> bool:
        """Remove a key. Return whether there was one."""
        ...

    async def find(self, key_id: str) -> ApiKey | None:
        """Return the key with an id, or `None`."""
        ...

    async def is_empty(self) -> bool:
        """Return whether there is no key."""
        ...


def key_store(access: Access, file: Path | None) -> KeyStore:
    """Return where the API keys are.

    Args:
        access: What gateways share in Redis.
        file: The file with the keys; `None` if Redis has them.
    """
    if file is None:
        return access.api_keys
    # Not needed otherwise, and it needs POSIX.
    from tailrace.access.key_file import KeyFile  # noqa: PLC0415

    return KeyFile(file)
