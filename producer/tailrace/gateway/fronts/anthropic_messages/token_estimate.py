"""An estimate of the tokens of a request: the gateway has no tokenizer, and no key of a provider that could count."""

import json
from collections.abc import Iterator, Mapping
from math import ceil
from typing import Any, Final, cast

from tailrace import InvalidRequest
from tailrace.gateway.fronts.anthropic_messages.body import CountTokensBody

_BYTES_A_TOKEN: Final = 3
"""Fewer than the usual 3.5 to 4 of English text, so that the estimate is above the count rather than below it."""
_TOKENS_AN_IMAGE: Final = 1_600
"""What Anthropic counts for an image of the largest size that it does not scale down."""


def estimated_tokens(body: CountTokensBody) -> int:
    """Estimate the input tokens of a request.

    Args:
        body: The request.

    Returns:
        One token for each 3 bytes of text in UTF-8, and 1,600 for each image.

    Raises:
        InvalidRequest: There is a document, whose pages cannot be counted here.
    """
    return ceil(sum(_costs([body.system, body.messages, body.tools, body.tool_choice])))


def _costs(value: object) -> Iterator[float]:
    match value:
        case {"type": "image"}:
            yield _TOKENS_AN_IMAGE
        case {"type": "document"}:
            raise InvalidRequest("messages: the tokens of a document cannot be estimated. Omit it.")
        case {"type": "tool_use", "input": given, **rest}:
            yield len(json.dumps(given, ensure_ascii=False).encode("utf-8", "replace")) / _BYTES_A_TOKEN
            yield from _costs(rest)
        case {"input_schema": schema, **rest}:
            yield len(json.dumps(schema, ensure_ascii=False).encode("utf-8", "replace")) / _BYTES_A_TOKEN
            yield from _costs(rest)
        case dict():
            for each in cast("Mapping[str, object]", value).values():
                yield from _costs(each)
        case list():
            for each in cast("list[object]", value):
                yield from _costs(each)
        case str():
            yield len(value.encode("utf-8", "replace")) / _BYTES_A_TOKEN
        case _:
            pass
