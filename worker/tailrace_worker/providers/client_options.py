"""`ClientOptions`: the key, address and headers of a provider's SDK client, from the settings and the environment."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from tailrace.api_kinds import ApiKind
from tailrace_worker.providers.errors import Failures
from tailrace_worker.settings import HEADER_VALUE_PATTERN, ProviderEntry

NO_KEY: Final = "no-key-is-sent"
"""The key for a server that needs none. An SDK makes no request without a key. `http/client.py` removes this one from
the request's headers."""

_ADDRESS: Final = re.compile(r"https?://[^\s/]", re.IGNORECASE)
_HEADER_SAFE: Final = re.compile(r"[ -~\t]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The company that runs an API, and the environment variables that its SDK reads."""

    name: str
    prefix: str
    """The prefix of all variables that the SDK reads, including those for the account and for headers."""
    key_variables: tuple[str, ...]
    other_credentials: tuple[str, ...] = ()
    """Variables by which the SDK may find credentials other than a key. Whether it does is known only to its client."""
    url_variable: str


_OPENAI: Final = Owner(
    name="OpenAI",
    prefix="OPENAI_",
    key_variables=("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"),
    url_variable="OPENAI_BASE_URL",
)
_ANTHROPIC: Final = Owner(
    name="Anthropic",
    prefix="ANTHROPIC_",
    key_variables=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
    other_credentials=(
        *("ANTHROPIC_PROFILE", "ANTHROPIC_CONFIG_DIR", "ANTHROPIC_FEDERATION_RULE_ID"),
        "ANTHROPIC_CUSTOM_HEADERS",
    ),
    url_variable="ANTHROPIC_BASE_URL",
)
OWNERS: Final[Mapping[ApiKind, Owner]] = {
    "openai": _OPENAI,
    "openai-responses": _OPENAI,
    "anthropic": _ANTHROPIC,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """The options of a client. If the key or the address is `None`, the SDK reads it from the environment."""

    key: str | None = None
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    problem: str = ""
    """Why the client cannot be made; empty if it can."""


def read_builtin(kind: ApiKind) -> tuple[ClientOptions, Failures]:
    """Check the environment variables of an API's SDK, without loading the SDK.

    Args:
        kind: The API.

    Returns:
        The options of the client, and the failures of the provider.
    """
    owner = OWNERS[kind]
    problem = _missing_credentials(owner) or _wrong_address(owner.url_variable)
    failures = Failures(owner.name, key_variables=owner.key_variables, url=owner.url_variable)
    return ClientOptions(problem=problem), failures


def read_entry(name: str, entry: ProviderEntry) -> tuple[ClientOptions, Failures]:
    """Read the environment variables that an entry of `TAILRACE_PROVIDERS` names.

    Args:
        name: The name of the provider.
        entry: Its entry.

    Returns:
        The options of the client, and the failures of the provider.
    """
    uses = [*([entry.key_variable] if entry.key_variable else []), *entry.header_variables.values()]
    problems = {variable: f"{variable} {problem}" for variable in uses if (problem := _problem(variable))}
    secret = {header: os.environ.get(variable, "") for header, variable in entry.header_variables.items()}
    options = ClientOptions(
        key=os.environ.get(entry.key_variable, "") if entry.key_variable else NO_KEY,
        url=entry.base_url,
        headers={**entry.headers, **secret},
        problem=", ".join(problems.values()),
    )
    failures = Failures(
        name,
        # The advice in an error names the first variable: one with a problem, if any.
        key_variables=tuple(sorted(dict.fromkeys(uses), key=lambda variable: variable not in problems)),
        url="its base_url in TAILRACE_PROVIDERS",
        headers=_values(entry.headers),
    )
    return options, failures


def _missing_credentials(owner: Owner) -> str:
    for variable in owner.key_variables:
        if value := os.environ.get(variable, "").strip():
            return "" if _HEADER_SAFE.fullmatch(value) else f"{variable} has characters that are not printable ASCII"
    if any(map(os.environ.get, owner.other_credentials)):
        return ""
    return f"{owner.key_variables[0]} is not set"


def _wrong_address(variable: str) -> str:
    value = os.environ.get(variable)
    if value is None or _ADDRESS.match(value.strip()):
        return ""
    return f"{variable} is not a URL that begins with http:// or https://"


def _problem(variable: str) -> str:
    """Return what is wrong with a variable whose value goes into a header, or an empty text."""
    value = os.environ.get(variable, "")
    if not value:
        return "is not set"
    if re.fullmatch(HEADER_VALUE_PATTERN, value):
        return ""
    return "begins or ends with white space, or has characters that are not printable ASCII"


def _values(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield the values, and the parts of an `authorization`, whose credentials a server may echo without the scheme."""
    for name, value in headers.items():
        yield value
        if name.lower() == "authorization":
            yield from value.split()
