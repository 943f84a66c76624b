"""An answer as its pieces add up to it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tailrace.events import Delta, Reasoning, Refusal, ToolCall
from tailrace.request import GenerationRequest
from tailrace_worker.provider import Finish, Piece, Usage


@dataclass(slots=True, kw_only=True)
class Call:
    """A tool call, with its arguments joined."""

    call_id: str | None
    name: str | None
    arguments: str = ""


@dataclass(slots=True, kw_only=True)
class Folded:
    """All that the pieces said so far."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: dict[int, Call] = field(default_factory=dict[int, Call])
    input_tokens: int | None = None
    output_tokens: int | None = None
    finishes: list[Finish] = field(default_factory=list[Finish])

    def add(self, piece: Piece) -> None:
        """Adds one piece, and holds it to the contract of `Provider`."""
        assert isinstance(piece, Usage) or not self.finishes, "only usage may follow the finish"
        match piece:
            case Delta() | Reasoning() | Refusal():
                assert piece.text, "content is never empty"
                setattr(self, _FIELDS[type(piece)], getattr(self, _FIELDS[type(piece)]) + piece.text)
            case ToolCall():
                call = self.calls.setdefault(piece.index, Call(call_id=piece.call_id, name=piece.name))
                call.arguments += piece.arguments
            case Usage():
                self.input_tokens = self.input_tokens if piece.input_tokens is None else piece.input_tokens
                self.output_tokens = self.output_tokens if piece.output_tokens is None else piece.output_tokens
            case Finish():
                self.finishes.append(piece)


_FIELDS = {Delta: "text", Reasoning: "reasoning", Refusal: "refusal"}


async def folded(pieces: AsyncIterator[Piece]) -> Folded:
    """What all the pieces add up to."""
    answer = Folded()
    async for piece in pieces:
        answer.add(piece)
    return answer


def asking(provider: str, model: str) -> GenerationRequest:
    """The simplest request."""
    return GenerationRequest.model_validate(
        {"provider": provider, "model": model, "messages": [{"role": "user", "content": "Hi"}]}
    )
