"""The headers that a verbatim request sends to its provider, beside those of the provider's SDK."""

import re
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator

from tailrace.request.validation import Problem, refusal

_MAX_HEADERS: Final = 16
_MAX_CHARS: Final = 8_192
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
"""A token (https://www.rfc-editor.org/rfc/rfc9110#name-tokens)."""
_VALUE: Final = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?", re.ASCII)
_OWNED: Final = re.compile(
    # Secrets, and whose account it is.
    r"authorization|proxy-.*|cookie|set-cookie|.*api-?key|.*-token|openai-organization|openai-project"
    # The connection and the body.
    r"|host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect|content-.*|accept|accept-encoding"
    # The SDKs.
    r"|user-agent|x-stainless-.*"
)


def _checked(headers: dict[str, str]) -> dict[str, str]:
    problems: list[Problem] = []
    lowered: dict[str, str] = {}
    for name, value in headers.items():
        lower = name.lower()
        if not _NAME.fullmatch(name):
            problems.append(Problem((), "has a name that is not the name of a header"))
        elif _OWNED.fullmatch(lower):
            problems.append(Problem((name,), "belongs to the provider's SDK or to its connection: omit it"))
        elif not _VALUE.fullmatch(value):
            problems.append(Problem((name,), "has characters that a header cannot have: give printable ASCII"))
        elif lower in lowered:
            problems.append(Problem((name,), "is given twice"))
        lowered[lower] = value
    if len(headers) > _MAX_HEADERS:
        problems.append(Problem((), f"has {len(headers):,} headers, and {_MAX_HEADERS} are allowed"))
    chars = sum(len(name) + len(value) for name, value in headers.items())
    if chars > _MAX_CHARS:
        problems.append(Problem((), f"has {chars:,} characters, and {_MAX_CHARS:,} are allowed"))
    if problems:
        raise refusal(problems)
    return lowered


Headers: TypeAlias = Annotated[dict[str, str], AfterValidator(_checked)]
"""Headers by their names in lower case, within the limits, and none that carries a secret or belongs to others."""
