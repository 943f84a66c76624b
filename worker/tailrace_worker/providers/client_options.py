"""`ClientOptions`: the key, address and headers of a provider's SDK client, from the settings and the environment."""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from tailrace_worker.providers.failures import Failures
from tailrace_worker.settings import HEADER_VALUE_PATTERN, ProviderEntry

_logger = logging.getLogger(__name__)

NO_KEY: Final = "no-key-is-sent"
"""The key of a server that needs none: without a key, an SDK makes no request. It is not sent as `Authorization`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """The options of a client. For an option that is `None`, the SDK reads the environment."""

    key: str | None = None
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    problem: str = ""
    """Why the client cannot be made."""


def read_entry(name: str, entry: ProviderEntry) -> tuple[ClientOptions, Failures]:
    """Reads the environment variables that an entry names, and warns of each that is not set or not usable."""
    uses = {variable: f"header {header}" for header, variable in entry.header_variables.items()}
    if entry.key_variable:
        uses = {entry.key_variable: "key", **uses}
    problems = {variable: f"{variable} {problem}" for variable in uses if (problem := _problem(variable))}
    for variable, problem in problems.items():
        _logger.warning("provider %s has no %s: %s", name, uses[variable], problem)
    secret = {header: os.environ.get(variable, "") for header, variable in entry.header_variables.items()}
    options = ClientOptions(
        key=os.environ.get(entry.key_variable, "") if entry.key_variable else NO_KEY,
        url=entry.base_url,
        headers={**entry.headers, **secret},
        problem=next(iter(problems.values()), ""),
    )
    failures = Failures(
        name,
        # The advice in an error names the first variable: one with a problem, if any.
        key_variables=tuple(sorted(uses, key=lambda variable: variable not in problems)),
        url="its base_url in TAILRACE_PROVIDERS",
        headers=_values(entry.headers),
    )
    return options, failures


def _problem(variable: str) -> str:
    """Return what is wrong with a variable whose value goes into a header, or an empty text."""
    value = os.environ.get(variable, "")
    if not value:
        return "is not set"
    return "" if re.fullmatch(HEADER_VALUE_PATTERN, value) else "has white space at an end, or is not printable ASCII"


def _values(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield the values, and the credentials of an `authorization`: a server may echo them without the scheme."""
    for name, value in headers.items():
        yield value
        if name.lower() == "authorization":
            yield from value.split()
