"""The two questions of the demo, one for each provider."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from tailrace.request.generation_request import GenerationRequest
from tailrace.request.messages import UserMessage
from tailrace_worker.processes.provider_apis import ANTHROPIC_API, OPENAI_API, ProviderApi


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoQuestion:
    """A question that the demo asks a provider, and the answer of the simulator."""

    api: ProviderApi
    text: str
    simulated_answer: str
    simulated_interval_ms: int

    @property
    def model_title(self) -> str:
        """The name of the model on the screen."""
        return self.api.model if self.api.is_real else "simulated"

    def short_request(self) -> GenerationRequest:
        """Return a request for a few sentences, which takes a few seconds."""
        return self._request(
            f"{self.text} Answer in three sentences, in plain text.",
            text=self.simulated_answer,
            interval_ms=self.simulated_interval_ms,
        )

    def long_request(self) -> GenerationRequest:
        """Return a request for more text than anyone would wait for."""
        return self._request("Count from one to one thousand, in words.", pieces=5_000, interval_ms=25)

    def _request(self, prompt: str, **scenario: str | int) -> GenerationRequest:
        return GenerationRequest(
            provider=self.api.provider,
            model=self.api.model if self.api.is_real else f"demo?{urlencode(scenario, safe=',:')}",
            messages=[UserMessage(role="user", content=prompt)],
        )


OPENAI_QUESTION: Final = DemoQuestion(
    api=OPENAI_API,
    text="What is the tailrace of a water mill?",
    simulated_answer=(
        "A tailrace is the channel that carries the water away from a mill wheel. This answer runs down one too: "
        "a Redis stream of its own, that anyone may read, live, late, again, or from the middle."
    ),
    simulated_interval_ms=80,
)
ANTHROPIC_QUESTION: Final = DemoQuestion(
    api=ANTHROPIC_API,
    text="Why should an LLM's answer outlive the web request that asked for it?",
    simulated_answer=(
        "Reload the page, roll the pod, cut the line: the job does not notice. A worker goes on writing, and "
        "whoever comes back reads on from the word where they left, to the very same ending."
    ),
    simulated_interval_ms=90,
)
QUESTIONS: Final = (OPENAI_QUESTION, ANTHROPIC_QUESTION)
