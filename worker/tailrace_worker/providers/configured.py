"""The providers that the environment and the settings configure, before any SDK is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass

from tailrace.api_kinds import API_KINDS, ApiKind
from tailrace.errors import InvalidSettings, ProviderError
from tailrace_worker.providers.client_options import OWNERS, ClientOptions, read_builtin, read_entry
from tailrace_worker.providers.errors import Failures
from tailrace_worker.settings import ProviderEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """The configuration of one provider: all that its client is made from."""

    kind: ApiKind
    options: ClientOptions
    failures: Failures
    hidden_prefix: str = ""
    """The prefix of the variables that its client must not see. The keys of the API's owner must not go to another
    server."""

    @property
    def problem(self) -> str:
        """Why the provider cannot be called, as far as the variables show; empty if it can."""
        return self.options.problem

    @property
    def error(self) -> ProviderError:
        """The problem as an error, with the message for a job's ending."""
        try:
            with self.failures.calling():
                raise ValueError(self.problem)
        except ProviderError as error:
            return error


def configured_providers(entries: Mapping[str, ProviderEntry]) -> Mapping[str, Configured]:
    """Return the configured providers by name.

    Args:
        entries: The providers of the settings. They may replace those of the three APIs.
    """
    configured: dict[str, Configured] = {}
    for kind in API_KINDS:
        options, failures = read_builtin(kind)
        configured[kind] = Configured(kind=kind, options=options, failures=failures)
    for name, entry in entries.items():
        options, failures = read_entry(name, entry)
        configured[name] = Configured(
            kind=entry.kind, options=options, failures=failures, hidden_prefix=OWNERS[entry.kind].prefix
        )
    return configured


def check_any(entries: Mapping[str, ProviderEntry]) -> None:
    """Check that at least one provider can be called.

    Args:
        entries: The providers of the settings.

    Raises:
        InvalidSettings: No provider can be called. The message names the variables to set.
    """
    problems = {name: each.problem for name, each in configured_providers(entries).items()}
    if all(problems.values()):
        raise InvalidSettings(
            f"This worker can call no provider: {'; '.join(lines(problems))}. Set one of these variables, or add a "
            "server to TAILRACE_PROVIDERS."
        )


def lines(problems: Mapping[str, str]) -> list[str]:
    """Return one line for each problem, with all providers that have it.

    Args:
        problems: The problems by the provider's name.
    """
    names: dict[str, list[str]] = {}
    for name, problem in problems.items():
        names.setdefault(problem, []).append(name)
    return [f"{', '.join(sharing)} cannot be called: {problem}" for problem, sharing in names.items()]
