"""Which providers a worker has by its environment and settings, before any SDK is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass

from tailrace.errors import InvalidSettings, ProviderError
from tailrace.request.capabilities import API_KINDS, ApiKind
from tailrace_worker.providers.client_options import OWNERS, ClientOptions, read_builtin, read_entry
from tailrace_worker.providers.errors import Failures
from tailrace_worker.settings import ProviderEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """A provider that has a name, and what its client is made with."""

    kind: ApiKind
    options: ClientOptions
    failures: Failures
    hidden_prefix: str = ""
    """The variables that its client must not see: what the environment holds for the API's owner is not for others."""

    @property
    def problem(self) -> str:
        """Why it cannot be called, as far as variables tell; empty if it can."""
        return self.options.problem

    @property
    def error(self) -> ProviderError:
        """The problem, as a job's ending tells it."""
        try:
            with self.failures.calling():
                raise ValueError(self.problem)
        except ProviderError as error:
            return error


def configured_providers(entries: Mapping[str, ProviderEntry]) -> Mapping[str, Configured]:
    """The providers of the three APIs, and those of the settings, which may replace them."""
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
    """Raises `InvalidSettings`, with the variables to set, if no provider can be called."""
    problems = {name: each.problem for name, each in configured_providers(entries).items()}
    if all(problems.values()):
        raise InvalidSettings(
            f"This worker could call no provider: {'; '.join(lines(problems))}. Set one of these variables, or name a "
            "server in TAILRACE_PROVIDERS."
        )


def lines(problems: Mapping[str, str]) -> list[str]:
    """A line about each problem, with all the providers that have it."""
    names: dict[str, list[str]] = {}
    for name, problem in problems.items():
        names.setdefault(problem, []).append(name)
    return [f"{', '.join(sharing)} cannot be called: {problem}" for problem, sharing in names.items()]
