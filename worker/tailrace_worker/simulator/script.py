"""`AnswerScript`: the content of one answer, in blocks. Each protocol writes the blocks in its own way."""

import secrets
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from typing import TypeAlias

from tailrace_worker.simulator.sample_text import Passage
from tailrace_worker.simulator.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The parts of a request that all protocols share."""

    model: str
    """The model string of the client, with its options."""
    stream: bool
    input_tokens: int
    tools: tuple[str, ...] = ()
    """The names of the functions that may be called."""
    tool_results: str | None = None
    """The texts of the results of tools with which the request ends; `None` if it does not end with any."""
    prefill: str = ""
    """The beginning of the answer, which the client has already."""
    include_usage: bool = True
    include_encrypted_reasoning: bool = False
    reasoning_summary: str | None = None
    """Which summary of the reasoning the client asked for."""

    @property
    def model_name(self) -> str:
        """The model without its options, as an answer repeats it."""
        return self.model.partition("?")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The page that a search finds and a text cites."""

    title: str = "Mill race"
    url: str = "https://example.org/mill-race"
    quote: str = "The tailrace carries the water away."


@dataclass(frozen=True, slots=True, kw_only=True)
class _KeyedBlock:
    key: str = field(default_factory=lambda: secrets.token_hex(12))
    """Random characters, of which ids are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningBlock(_KeyedBlock):
    """The reasoning before the text."""

    passage: Passage

    @property
    def signature(self) -> str:
        """The signature that a later turn has to send back. It follows from the text, so that a test knows it too."""
        return signature(self.passage.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchBlock(_KeyedBlock):
    """A web search by the provider itself."""

    query: str
    source: Source = Source()


@dataclass(frozen=True, slots=True, kw_only=True)
class TextBlock(_KeyedBlock):
    """A part of the text."""

    passage: Passage
    source: Source | None
    """The page that the text cites; `None` if it cites none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalBlock(_KeyedBlock):
    """A part of the model's refusal."""

    passage: Passage


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallBlock(_KeyedBlock):
    """A call of one of the client's functions."""

    name: str
    passage: Passage
    """The arguments, as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownBlock(_KeyedBlock):
    """A block of a type that only a later version of a protocol may have."""


ScriptBlock: TypeAlias = ReasoningBlock | SearchBlock | TextBlock | RefusalBlock | ToolCallBlock | UnknownBlock
Spoken: TypeAlias = ReasoningBlock | TextBlock | RefusalBlock | ToolCallBlock
"""The blocks that are sent in pieces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerScript:
    """One answer: its blocks in order, its finish reason and its token counts."""

    scenario: Scenario
    blocks: tuple[ScriptBlock, ...]
    finish: str
    """A finish reason of tailrace, or the provider's own word."""
    input_tokens: int
    """The input tokens, without those from the cache."""
    cached_tokens: int
    reasoning_tokens: int
    output_tokens: int
    """The output tokens, with those of the reasoning."""

    @property
    def pieces(self) -> int:
        """How many pieces all blocks have."""
        return _count(self.blocks)


def write(scenario: Scenario, question: Question) -> AnswerScript:
    """Write the answer of a scenario to a question.

    Args:
        scenario: The scenario.
        question: The question. If it has the beginning of the answer, the script is only the rest.
    """
    begun = scenario.position_after(question.prefill)
    blocks = [*_before_text(scenario), *_text(scenario, begun), *_tools(scenario, question)]
    if begun:
        blocks = [block for block in blocks if not isinstance(block, ReasoningBlock | SearchBlock)]
    if scenario.unknown:
        blocks = [UnknownBlock(), *(each for block in blocks for each in (block, UnknownBlock()))]
    thoughts = _count(block for block in blocks if isinstance(block, ReasoningBlock))
    reasoning_tokens = thoughts if scenario.reasoning_tokens is None else scenario.reasoning_tokens
    return AnswerScript(
        scenario=scenario,
        blocks=tuple(blocks),
        finish=scenario.finish or ("refusal" if scenario.refusal else "tool_calls" if scenario.tools else "stop"),
        input_tokens=question.input_tokens,
        cached_tokens=scenario.cached_tokens,
        reasoning_tokens=reasoning_tokens,
        output_tokens=_count(blocks) - thoughts + reasoning_tokens,
    )


def signature(thoughts: str) -> str:
    """Return the signature of a reasoning text, as opaque as a provider's."""
    return b64encode(sha256(thoughts.encode()).digest()).decode()


def _before_text(scenario: Scenario) -> Iterator[ScriptBlock]:
    if scenario.reasoning:
        yield ReasoningBlock(passage=scenario.thoughts)
    if scenario.search:
        yield SearchBlock(query=scenario.search)


def _text(scenario: Scenario, begun: int) -> Iterator[ScriptBlock]:
    borders = [scenario.pieces * number // scenario.blocks for number in range(scenario.blocks + 1)]
    for start, stop in pairwise(borders):
        if passage := scenario.passage(range(max(start, begun), stop)):
            source = Source() if scenario.search else None
            yield RefusalBlock(passage=passage) if scenario.refusal else TextBlock(passage=passage, source=source)


def _tools(scenario: Scenario, question: Question) -> Iterator[ScriptBlock]:
    for number, arguments in enumerate(scenario.arguments):
        name = question.tools[number % len(question.tools)] if question.tools else f"tool_{number + 1}"
        yield ToolCallBlock(name=name, passage=arguments)


def _count(blocks: Iterable[ScriptBlock]) -> int:
    return sum(len(block.passage) for block in blocks if isinstance(block, Spoken))
