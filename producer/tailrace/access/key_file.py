"""`KeyFile`: API keys in a file instead of in Redis."""

import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from tailrace.access.api_key import ApiKey, KeyLimits, NewApiKey
from tailrace.errors import InvalidSettings

_logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""How often a gateway checks whether the file has changed, in seconds."""


class _Stored(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", hide_input_in_errors=True)

    keys: list[ApiKey]


class KeyFile:
    """The API keys in a file. When the file has changed, it is read again. While it cannot be read, no key is accepted.

    Args:
        path: The file. `create` makes it if it does not exist.
        look_seconds: How often to check whether the file has changed, in seconds.
    """

    def __init__(self, path: Path, *, look_seconds: float = LOOK_SECONDS) -> None:
        self._path = path
        self._look_seconds = look_seconds
        self._keys: Mapping[str, ApiKey] = {}
        self._signature: tuple[int, ...] | None = None
        self._looked_at = -look_seconds

    async def create(self, *, tenant: str, name: str = "", limits: KeyLimits | None = None) -> NewApiKey:
        """Create a key. Gateways accept it within a second.

        Args:
            tenant: The tenant whose jobs it may use: 1 to 64 characters of `A-Z a-z 0-9 _ . -`.
            name: What the key is for: up to 256 characters.
            limits: The limits of the key; by default it has none.

        Returns:
            The key, and its token. The token is stored nowhere.

        Raises:
            InvalidRequest: The tenant is not a name, or the name is too long.
            InvalidSettings: The file cannot be read or written.
        """
        new = ApiKey.make(tenant=tenant, name=name, limits=limits or KeyLimits())
        with self._writing():
            self._write([*(self._read() if self._path.exists() else ()), new.key])
        return new

    async def read_all(self) -> list[ApiKey]:
        """List the keys.

        Returns:
            All keys, the oldest first.

        Raises:
            InvalidSettings: The file cannot be read.
        """
        return sorted(self._read(), key=lambda key: (key.created_at, key.id))

    async def revoke(self, key_id: str) -> bool:
        """Revoke a key. Within three seconds, gateways refuse it and the URLs that they signed for it.

        Args:
            key_id: The id of the key.

        Returns:
            False if there is no such key.

        Raises:
            InvalidSettings: The file cannot be read or written.
        """
        with self._writing():
            keys = self._read()
            left = [key for key in keys if key.id != key_id]
            if len(left) < len(keys):
                self._write(left)
        return len(left) < len(keys)

    async def find(self, key_id: str) -> ApiKey | None:
        """Find a key.

        Args:
            key_id: The id of the key.

        Returns:
            The key; `None` if there is no such key, or if the file cannot be read at the moment.
        """
        self._refresh()
        return self._keys.get(key_id)

    async def is_empty(self) -> bool:
        """Return whether there is no key, or the file cannot be read at the moment."""
        self._refresh()
        return not self._keys

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < self._look_seconds:
            return
        self._looked_at = now
        signature = self._look()
        if signature != self._signature:
            self._signature = signature
            try:
                self._keys = {key.id: key for key in self._read()}
            except InvalidSettings as error:
                self._keys = {}
                _logger.error("no API key is accepted: %s", error)  # noqa: TRY400

    def _look(self) -> tuple[int, ...]:
        """Return values that change whenever the file changes; none if there is no such file."""
        try:
            status = self._path.stat()
        except OSError:
            return ()
        return status.st_ino, status.st_size, status.st_mtime_ns

    def _read(self) -> list[ApiKey]:
        try:
            return _Stored.model_validate_json(self._path.read_bytes()).keys
        except OSError as error:
            raise InvalidSettings(
                f"TAILRACE_GATEWAY_KEYS_FILE: {str(self._path)!r} cannot be read: {error.strerror}. "
                "`tailrace keys create` makes it."
            ) from None
        except ValidationError as error:
            told = error.errors()[0]
            where = ".".join(map(str, told["loc"]))
            raise InvalidSettings(
                f"TAILRACE_GATEWAY_KEYS_FILE: {str(self._path)!r} is not a file of keys: "
                f"{f'{where}: ' if where else ''}{told['msg']}."
            ) from None

    @contextmanager
    def _writing(self) -> Generator[None]:
        """Lock out other writers. The lock is a separate file, because each write replaces the file of keys."""
        try:
            with Path(f"{self._path}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise InvalidSettings(
                f"TAILRACE_GATEWAY_KEYS_FILE: {str(self._path)!r} cannot be written: {error.strerror}."
            ) from None

    def _write(self, keys: Iterable[ApiKey]) -> None:
        """Replace the file in one step, so that a gateway reads the old or the new one. Only its owner can read it."""
        descriptor, written = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(_Stored(keys=list(keys)).model_dump_json(indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())
            Path(written).replace(self._path)
        except BaseException:
            Path(written).unlink(missing_ok=True)
            raise
