"""What a client of the caller's own has to be like."""

from typing import Any

import pytest
from redis.asyncio import Redis

from tailrace import InvalidSettings, Settings, Tailrace


@pytest.mark.parametrize("changed", [{"decode_responses": True}, {"protocol": 3}], ids=["decoding", "resp3"])
async def test_a_client_whose_replies_are_not_bytes_is_refused_at_once(
    settings: Settings, changed: dict[str, Any]
) -> None:
    from_url: Any = Redis.from_url  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    async with from_url(settings.redis_url, **changed) as client:
        with pytest.raises(InvalidSettings, match=r"decode_responses=False, protocol=2"):
            Tailrace(client, settings=settings)
