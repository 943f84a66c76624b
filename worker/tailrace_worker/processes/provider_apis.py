"""The APIs of the providers, for commands that bring a simulator. An API without a key is simulated."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderApi:
    """An API, and the environment variables that its SDK reads."""

    provider: Literal["openai", "anthropic"]
    title: str
    key_variable: str
    url_variable: str
    path: str
    """The path that its SDK expects at the end of a base URL."""
    model: str
    """A cheap model, which is called if there is a real key."""

    @property
    def is_real(self) -> bool:
        """True if the environment has a key."""
        return bool(os.environ.get(self.key_variable, "").strip())

    def pointed_at(self, simulator_url: str) -> dict[str, str]:
        """Return the environment variables with which its SDK calls the simulator.

        Args:
            simulator_url: The base URL of the simulator.
        """
        return {self.key_variable: "simulated", self.url_variable: f"{simulator_url}{self.path}"}


OPENAI_API: Final = ProviderApi(
    provider="openai",
    title="OpenAI",
    key_variable="OPENAI_API_KEY",
    url_variable="OPENAI_BASE_URL",
    path="/v1",
    model="gpt-5.4-nano",
)
ANTHROPIC_API: Final = ProviderApi(
    provider="anthropic",
    title="Anthropic",
    key_variable="ANTHROPIC_API_KEY",
    url_variable="ANTHROPIC_BASE_URL",
    path="",
    model="claude-haiku-5-5",
)
PROVIDER_APIS: Final = (OPENAI_API, ANTHROPIC_API)


def simulated_apis() -> tuple[ProviderApi, ...]:
    """Return the APIs for which the environment has no key."""
    return tuple(api for api in PROVIDER_APIS if not api.is_real)


def simulator_variables(simulator_url: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables with which the APIs without a key are called at the simulator.

    Args:
        simulator_url: The base URL of the simulator.
        environment: The environment that they are added to.
    """
    variables: dict[str, str] = {}
    for api in simulated_apis():
        variables |= api.pointed_at(simulator_url)
    # A call to the simulator on this machine must not go through a proxy.
    for name in ("NO_PROXY", "no_proxy"):
        variables[name] = ",".join(filter(None, (environment.get(name), "127.0.0.1")))
    return variables
