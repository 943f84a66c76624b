"""The key that signs URLs, kept in Redis so that all gateways agree on it."""

import secrets
from typing import Final, NamedTuple

from tailrace.broker.client import Broker, text
from tailrace.errors import BrokerRefused
from tailrace.protocol.keys import Keys

_SECRET_BYTES: Final = 32


class SigningKey(NamedTuple):
    """A key for HMAC-SHA256."""

    id: str
    """The id of the key. Each token names the key that signed it."""
    secret: str
    """The secret."""


async def read_signing_key(broker: Broker, keys: Keys) -> SigningKey:
    """Read the key, and make one if there is none.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.

    Returns:
        The key. Every gateway gets the same one.

    Raises:
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused, or another program wrote something else there.
    """
    made = f"{secrets.token_hex(4)}:{secrets.token_urlsafe(_SECRET_BYTES)}"
    _, stored = await broker.pipeline(("SET", keys.signing_key, made, "NX"), ("GET", keys.signing_key))
    key_id, _, secret = text(stored or b"").partition(":")
    if len(secret) < _SECRET_BYTES:
        raise BrokerRefused(
            f"The value of {keys.signing_key!r} in Redis is not a signing key. Delete it: a new key is then made."
        )
    return SigningKey(key_id, secret)
