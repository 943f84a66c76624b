"""`Capabilities`: signs the tokens of URLs, and verifies them.

A token is a JWT with HMAC-SHA256. Its header names the key that signed it, and its claims are short, so that it fits
into a URL. Anyone who has a token may do what it allows until it expires, so no token is ever logged.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar, Final, Literal, Self

import jwt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tailrace import BrokerUnavailable
from tailrace.access.signing_key import SigningKey
from tailrace.gateway.errors import Unauthorized
from tailrace.gateway.principal import Capability, Principal, Scope

_ALGORITHM: Final = "HS256"
_VERSION: Final = 1
_MAX_TOKEN_CHARS: Final = 8_192
_FRESH_SECONDS: Final = 2.0
"""How long a signing key from Redis is used before it is read again, in seconds."""
_READ_SECONDS: Final = 10.0
"""How long reading a signing key may take, in seconds, including the wait for other requests that read it."""
# The last of 43 digits in base64 stands for four bits, so two of its six bits have to be 0.
_TOKEN: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]{42}[AEIMQUYcgkosw048]", re.ASCII)
_LETTERS: Final[Mapping[Scope, Literal["r", "c"]]] = {Scope.READ: "r", Scope.CANCEL: "c"}
_SCOPES: Final[Mapping[str, Scope]] = {letter: scope for scope, letter in _LETTERS.items()}

REFUSED: Final = "The token of the URL is not valid, or it has expired: ask for a new URL."
"""The message for every fault of a token: it is always the same, so that nobody learns which part is right."""


class _Claims(BaseModel):
    """The claims of a token, in the form of this version."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    v: Literal[1]
    tenant: str
    key: str
    scope: Literal["r", "c"]
    exp: int
    job: str | None = Field(default=None, min_length=1)
    chat: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _is_for_one(self) -> Self:
        if (self.job is None) == (self.chat is None):
            raise ValueError("Input should be for one job or for one conversation")
        return self


class SharedSigningKey:
    """The signing key in Redis. It is read again after two seconds.

    Args:
        read: Reads the key.
    """

    def __init__(self, read: Callable[[], Awaitable[SigningKey]]) -> None:
        self._read = read
        self._keys: tuple[SigningKey, ...] = ()
        self._read_at = 0.0
        self._reading = asyncio.Lock()

    async def __call__(self) -> tuple[SigningKey, ...]:
        """Return the key.

        Raises:
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        try:
            async with asyncio.timeout(_READ_SECONDS), self._reading:
                return await self._current()
        except TimeoutError:
            raise BrokerUnavailable(f"Redis did not return the signing key within {_READ_SECONDS:g} s.") from None

    async def _current(self) -> tuple[SigningKey, ...]:
        if not self._keys or time.monotonic() - self._read_at > _FRESH_SECONDS:
            self._keys = (await self._read(),)
            self._read_at = time.monotonic()
        return self._keys


class Capabilities:
    """Signs the tokens of URLs, and verifies them.

    Args:
        keys: Returns the keys. The first one signs, and all of them verify.
        life_seconds: How long a token is valid.
    """

    def __init__(self, keys: Callable[[], Awaitable[tuple[SigningKey, ...]]], *, life_seconds: int) -> None:
        self._keys = keys
        self._life_seconds = life_seconds

    def expires_at(self) -> int:
        """Return the time at which a token that is signed now expires, in Unix seconds."""
        return int(time.time()) + self._life_seconds

    async def sign(
        self,
        *,
        tenant: str,
        key_id: str,
        scope: Scope,
        expires_at: int,
        job_id: str | None = None,
        conversation: str | None = None,
    ) -> str:
        """Sign a token for one job, or for one conversation.

        Args:
            tenant: The tenant of the job or the conversation.
            key_id: The id of the API key for which it is signed. The token is refused once that key is revoked.
            scope: What the token allows: `Scope.READ` or `Scope.CANCEL`.
            expires_at: When it expires, in Unix seconds.
            job_id: The job.
            conversation: The conversation.

        Returns:
            The token. It has only characters that are allowed in a URL.

        Raises:
            BrokerUnavailable: Redis has the key, and cannot be reached.
            BrokerRefused: Redis has the key, and refused.
        """
        signing, *_ = await self._keys()
        claims = _Claims(
            v=_VERSION,
            tenant=tenant,
            key=key_id,
            scope=_LETTERS[scope],
            exp=expires_at,
            job=job_id,
            chat=conversation,
        )
        # Its types refer to a package that is needed only for other algorithms.
        return jwt.encode(  # pyright: ignore[reportUnknownMemberType]
            claims.model_dump(exclude_none=True), signing.secret, _ALGORITHM, headers={"kid": signing.id, "typ": None}
        )

    async def verify(self, token: str) -> Principal:
        """Verify a token.

        Args:
            token: What a client sent.

        Returns:
            On whose behalf the request is made, and what it is restricted to.

        Raises:
            Unauthorized: The text is not a token, was changed, has expired, or its signing key is no longer known.
            BrokerUnavailable: Redis has the key, and cannot be reached.
            BrokerRefused: Redis has the key, and refused.
        """
        if len(token) > _MAX_TOKEN_CHARS or not _TOKEN.fullmatch(token):
            raise Unauthorized(REFUSED)
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            secret = next((key.secret for key in await self._keys() if key.id == key_id), None)
            if secret is None:
                raise Unauthorized(REFUSED)
            claims = _Claims.model_validate(
                jwt.decode(  # pyright: ignore[reportUnknownMemberType]
                    token, secret, algorithms=[_ALGORITHM], options={"require": ["exp"]}
                )
            )
        except (jwt.InvalidTokenError, ValidationError, RecursionError):
            raise Unauthorized(REFUSED) from None
        return Principal(
            tenant=claims.tenant,
            key_id=claims.key,
            capability=Capability(
                scopes=frozenset({_SCOPES[claims.scope]}),
                expires_at=claims.exp,
                job_id=claims.job,
                conversation=claims.chat,
            ),
        )
