"""What a job can ask for: a `GenerationRequest` or a `VerbatimRequest`, told apart by its `body`."""

from typing import Any, TypeAlias

from pydantic_core import from_json

from tailrace.request.generation_request import GenerationRequest
from tailrace.request.verbatim_request import VerbatimRequest

AnyRequest: TypeAlias = GenerationRequest | VerbatimRequest


def read_request(encoded: str | bytes) -> AnyRequest:
    """Read the request in a job's record.

    Args:
        encoded: The JSON that `to_json` of one of the classes wrote.

    Returns:
        The request.

    Raises:
        NewerRequest: The request has fields or values that this version does not know.
        InvalidRequest: The request is not valid; the message names the fields.
    """
    return (VerbatimRequest if _is_verbatim(encoded) else GenerationRequest).from_json(encoded)


def _is_verbatim(encoded: str | bytes) -> bool:
    said = encoded.encode(errors="replace") if isinstance(encoded, str) else encoded
    # Hardly any other request has this text, so that only verbatim ones are parsed twice.
    if b'"body"' not in said:
        return False
    try:
        fields: Any = from_json(said)
    except ValueError:
        return False
    return isinstance(fields, dict) and "body" in fields
