"""How the SDK's client of a provider is made: its key, its address, its headers, and the environment behind them."""

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
"""Stands for the key of a server that asks for none: without one, an SDK makes no request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """What a client is made with; what is `None` its SDK reads from the environment."""

    key: str | None = None
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    problem: str = ""
    """Why the client cannot be made."""


def read_entry(name: str, entry: ProviderEntry) -> tuple[ClientOptions, Failures]:
    """Reads the variables that an entry of the settings names, and warns of those that are of no use."""
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
        # The advice names the first.
        key_variables=tuple(sorted(uses, key=lambda variable: variable not in problems)),
        url="its base_url in TAILRACE_PROVIDERS",
        headers=_values(entry.headers),
    )
    return options, failures


def _problem(variable: str) -> str:
    """What is wrong with a variable whose value goes into a header, if anything is."""
    value = os.environ.get(variable, "")
    if not value:
        return "is not set"
    return "" if re.fullmatch(HEADER_VALUE_PATTERN, value) else "has a blank at an end, or more than printable ASCII"


def _values(headers: Mapping[str, str]) -> Iterator[str]:
    """The values, and the credentials of an `authorization`, which a server echoes without their scheme."""
    for name, value in headers.items():
        yield value
        if name.lower() == "authorization":
            yield from value.split()
