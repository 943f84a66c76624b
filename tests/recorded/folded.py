"""An answer as its pieces add up to it."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from tailrace.events import Box, Citation, Delta, Frames, Notice, Reasoning, Refusal, ToolCall
from tailrace.request.generation_request import GenerationRequest
from tailrace.request.messages import PastReasoning
from tailrace_worker.providers.base import Alive, Finish, Piece, TokenCounts


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
    blocks: list[PastReasoning] = field(default_factory=list[PastReasoning])
    """The signed blocks of the reasoning, as a later turn gives them back."""
    calls: dict[int, Call] = field(default_factory=dict[int, Call])
    citations: list[Citation] = field(default_factory=list[Citation])
    notices: list[str] = field(default_factory=list[str])
    usage: TokenCounts = field(default_factory=TokenCounts)
    finishes: list[Finish] = field(default_factory=list[Finish])

    def add(self, piece: Piece | Alive) -> None:
        """Adds one piece, and holds it to the contract of `Provider`."""
        assert not self.finishes, "nothing follows the finish"
        match piece:
            case Alive() | Frames():
                pass
            case Delta(text=text):
                assert text, "content is never empty"
                self.text += text
            case Reasoning(text=text, signature=signature):
                assert text or signature, "content is never empty"
                self.reasoning += text
                if signature:
                    signed = sum(len(block["text"]) for block in self.blocks)
                    self.blocks.append({"text": self.reasoning[signed:], "signature": signature})
            case Refusal(text=text):
                assert text, "content is never empty"
                self.refusal += text
            case ToolCall():
                assert piece.index in self.calls or piece.index == len(self.calls), "calls are numbered as they begin"
                call = self.calls.setdefault(piece.index, Call(call_id=piece.call_id, name=piece.name))
                call.call_id, call.name = call.call_id or piece.call_id, call.name or piece.name
                call.arguments += piece.arguments
            case Citation():
                self._cite(piece)
            case Notice(message=message):
                self.notices.append(message)
            case TokenCounts():
                self.usage = self.usage.updated(piece)
            case Finish():
                self.finishes.append(piece)
            case Box():
                raise AssertionError("boxes are found in the text, no provider sends them")

    def _cite(self, citation: Citation) -> None:
        assert citation not in self.citations, "each citation comes once"
        if citation.start is not None and citation.end is not None:
            assert 0 <= citation.start <= citation.end <= len(self.text), "a citation comes after its text"
        else:
            assert citation.start is citation.end is None
        self.citations.append(citation)


def folded(pieces: Iterable[Piece | Alive]) -> Folded:
    """What all the pieces add up to."""
    answer = Folded()
    for piece in pieces:
        answer.add(piece)
    return answer


async def read(pieces: AsyncIterator[Piece | Alive]) -> Folded:
    """The same, of pieces that are still to come."""
    return folded([piece async for piece in pieces])


def asking(provider: str, model: str) -> GenerationRequest:
    """The simplest request."""
    return GenerationRequest.model_validate(
        {"provider": provider, "model": model, "messages": [{"role": "user", "content": "Hi"}]}
    )
