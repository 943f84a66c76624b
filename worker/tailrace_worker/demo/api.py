"""The two APIs that the demo shows. An API is real if the environment has its key, and otherwise simulated."""

import os
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlencode

from tailrace.request.generation_request import GenerationRequest
from tailrace.request.messages import UserMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """A provider, and the question that the demo asks it."""

    provider: Literal["openai", "anthropic"]
    title: str
    key_variable: str
    url_variable: str
    path: str
    """The path that its SDK expects at the end of a base URL."""
    model: str
    """A cheap model, which is called if there is a real key."""
    question: str
    simulated_answer: str
    simulated_interval_ms: int

    @property
    def is_real(self) -> bool:
        """True if the environment has a key."""
        return bool(os.environ.get(self.key_variable, "").strip())

    @property
    def model_title(self) -> str:
        """The name of the model on the screen."""
        return self.model if self.is_real else "simulated"

    def pointed_at(self, simulator_url: str) -> dict[str, str]:
        """Return the environment variables with which its SDK calls the simulator.

        Args:
            simulator_url: The base URL of the simulator.
        """
        return {self.key_variable: "simulated", self.url_variable: f"{simulator_url}{self.path}"}

    def short_request(self) -> GenerationRequest:
        """Return a request for a few sentences, which takes a few seconds."""
        return self._request(
            f"{self.question} Answer in three sentences, in plain text.",
            text=self.simulated_answer,
            interval_ms=self.simulated_interval_ms,
        )

    def long_request(self) -> GenerationRequest:
        """Return a request for more text than anyone would wait for."""
        return self._request("Count from one to one thousand, in words.", pieces=5_000, interval_ms=25)

    def _request(self, prompt: str, **scenario: str | int) -> GenerationRequest:
        return GenerationRequest(
            provider=self.provider,
            model=self.model if self.is_real else f"demo?{urlencode(scenario, safe=',:')}",
            messages=[UserMessage(role="user", content=prompt)],
        )


OPENAI: Final = Api(
    provider="openai",
    title="OpenAI",
    key_variable="OPENAI_API_KEY",
    url_variable="OPENAI_BASE_URL",
    path="/v1",
    model="gpt-5.4-nano",
    question="What is the tailrace of a water mill?",
    simulated_answer=(
        "A tailrace is the channel that carries the water away from a mill wheel. This answer runs down one too: "
        "a Redis stream of its own, that anyone may read, live, late, again, or from the middle."
    ),
    simulated_interval_ms=80,
)
ANTHROPIC: Final = Api(
    provider="anthropic",
    title="Anthropic",
    key_variable="ANTHROPIC_API_KEY",
    url_variable="ANTHROPIC_BASE_URL",
    path="",
    model="claude-haiku-5-5",
    question="Why should an LLM's answer outlive the web request that asked for it?",
    simulated_answer=(
        "Reload the page, roll the pod, cut the line: the job does not notice. A worker goes on writing, and "
        "whoever comes back reads on from the word where they left, to the very same ending."
    ),
    simulated_interval_ms=90,
)
APIS: Final = (OPENAI, ANTHROPIC)
