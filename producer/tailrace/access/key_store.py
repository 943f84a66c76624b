"""`KeyStore`: the store of API keys, in Redis or in a file."""

from pathlib import Path
from typing import Protocol

from tailrace.access.access import Access
from tailrace.access.api_key import ApiKey, KeyLimits, NewApiKey


class KeyStore(Protocol):
    """A store of API keys."""

    async def create(self, *, tenant: str, name: str = "", limits: KeyLimits | None = None) -> NewApiKey:
        """Create a key."""
        ...

    async def read_all(self) -> list[ApiKey]:
        """Return all keys, the oldest first."""
        ...

    async def revoke(self, key_id: str) -> bool:
        """Revoke a key. Return whether there was such a key."""
        ...

    async def find(self, key_id: str) -> ApiKey | None:
        """Return the key with an id, or `None`."""
        ...

    async def is_empty(self) -> bool:
        """Return whether there is no key."""
        ...


def key_store(access: Access, file: Path | None) -> KeyStore:
    """Return the store of the API keys.

    Args:
        access: What gateways share in Redis.
        file: The file with the keys; `None` if the keys are in Redis.
    """
    if file is None:
        return access.api_keys
    # It is needed only here, and only POSIX systems can import it.
    from tailrace.access.key_file import KeyFile  # noqa: PLC0415

    return KeyFile(file)
