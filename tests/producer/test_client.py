"""What a client of the caller's own has to be like."""

from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from tailrace import InvalidSettings, Settings, Tailrace

NOT_SAID_IS_RESP3 = int(redis.__version__.partition(".")[0]) >= 8


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"decode_responses": True, "protocol": 2}, id="decoding"),
        pytest.param({"protocol": 3}, id="resp3"),
        pytest.param({}, id="default", marks=pytest.mark.skipif(not NOT_SAID_IS_RESP3, reason="redis-py below 8")),
    ],
)
async def test_a_client_whose_replies_are_not_bytes_is_refused_at_once(
    settings: Settings, changed: dict[str, Any]
) -> None:
    from_url: Any = Redis.from_url  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    async with from_url(settings.redis_url, **changed) as client:
        with pytest.raises(InvalidSettings, match=r"decode_responses=False, protocol=2"):
            Tailrace(client, settings=settings)


@pytest.mark.parametrize(
    "url",
    ["localhost", "http://h", "redis://h?db=x", "redis://h?colour=blue", "redis://h?protocol=9", "redis://h:99999999"],
)
def test_a_url_that_is_none_of_a_redis_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidSettings, match="not the URL of a Redis"):
        Tailrace.connect(url)
