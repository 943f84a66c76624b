"""`ApiKey`: what is stored of a key: its tenant, its limits and the hash of its token, but not the token."""

import hashlib
import hmac
import re
import secrets
import time
from typing import Annotated, ClassVar, Final, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from tailrace.errors import InvalidRequest
from tailrace.field_docs import describe_fields

_TOKEN: Final = re.compile(r"trk_([0-9a-f]{12})_[A-Za-z0-9_-]{43}", re.ASCII)
_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_CONFIG: Final = ConfigDict(frozen=True, json_schema_extra=describe_fields)


class KeyLimits(BaseModel):
    """The limits of an API key. A limit that is `None` does not apply."""

    model_config: ClassVar[ConfigDict] = _CONFIG

    running: int | None = Field(default=None, ge=1)
    """How many jobs of the tenant may run or wait at a time, 1 or more. Waiting jobs count, because a worker may start
    them at any moment."""
    queued: int | None = Field(default=None, ge=1)
    """How many jobs of the tenant may wait at a time, 1 or more."""
    requests_per_second: int | None = Field(default=None, ge=1, le=100_000)
    """How many requests may be made with the key in a second, at all gateways together, 1 to 100,000."""

    def __str__(self) -> str:
        named = (("running", self.running), ("queued", self.queued), ("per-second", self.requests_per_second))
        return " ".join(f"{name}={limit}" for name, limit in named if limit is not None)


class ApiKey(BaseModel):
    """An API key, without its token."""

    model_config: ClassVar[ConfigDict] = _CONFIG

    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]
    """The id of the key, 12 hexadecimal digits. It is a part of the token, and no secret."""
    tenant: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    """The tenant whose jobs the key may use."""
    name: Annotated[str, StringConstraints(max_length=256)] = ""
    """What the key is for, in words."""
    created_at: int
    """When the key was created, in Unix seconds."""
    limits: KeyLimits = KeyLimits()
    """The limits of the key."""
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(repr=False)
    """The SHA-256 of the token, in hexadecimal digits. The token has 256 random bits, so no slow hash is needed."""

    @classmethod
    def make(cls, *, tenant: str, name: str, limits: KeyLimits) -> "NewApiKey":
        """Make a key.

        Args:
            tenant: The tenant.
            name: What the key is for.
            limits: The limits of the key.

        Returns:
            The key, with its token.

        Raises:
            InvalidRequest: The tenant is not a name, or the name is too long.
        """
        key_id = secrets.token_hex(_ID_BYTES)
        token = f"trk_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        try:
            key = cls(
                id=key_id, tenant=tenant, name=name, created_at=int(time.time()), limits=limits, sha256=_digest(token)
            )
        except ValidationError as error:
            told = error.errors()[0]
            raise InvalidRequest(f"{told['loc'][0]}: {told['msg']}, not {told['input']!r}.") from None
        return NewApiKey(key, token)

    @classmethod
    def parse(cls, stored: bytes | str) -> Self | None:
        """Read a stored key.

        Args:
            stored: The key as JSON.

        Returns:
            The key; `None` if the text is not a stored key. Nobody may use such a key.
        """
        try:
            return cls.model_validate_json(stored)
        except ValidationError:
            return None

    def is_of(self, token: str) -> bool:
        """Return whether a token belongs to this key. The time does not depend on where the two differ.

        Args:
            token: The token that a client sent.
        """
        return hmac.compare_digest(_digest(token), self.sha256)


class NewApiKey(NamedTuple):
    """A key that was just created."""

    key: ApiKey
    """The key."""
    token: str
    """The token. It is stored nowhere, so it cannot be read again later."""


def key_id_of(token: str) -> str | None:
    """Return the id in a token.

    Args:
        token: Any text that a client sent.

    Returns:
        The id; `None` if the text does not have the form of a token.
    """
    matched = _TOKEN.fullmatch(token)
    return matched and matched[1]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
