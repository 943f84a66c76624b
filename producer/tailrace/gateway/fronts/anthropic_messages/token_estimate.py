"""An estimate of the tokens of a request: the gateway has no tokenizer, and no key of a provider that could count."""

from collections.abc import Iterator, Mapping
from math import ceil
from typing import Final, cast

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
        case dict():
            # The names count too, because those of schemas and of arguments are text for the model.
            for name, each in cast("Mapping[str, object]", value).items():
                yield len(name.encode("utf-8", "replace")) / _BYTES_A_TOKEN
                yield from _costs(each)
        case list():
            for each in cast("list[object]", value):
                yield from _costs(each)
        case None:
            pass
        case _:
            yield len(str(value).encode("utf-8", "replace")) / _BYTES_A_TOKEN
