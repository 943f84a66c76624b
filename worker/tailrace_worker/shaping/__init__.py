"""What a provider's raw stream lacks before a person may see it: stages, each an async generator over pieces."""

from collections.abc import AsyncGenerator

from tailrace.request.generation_request import GenerationRequest
from tailrace_worker.providers.base import Piece
from tailrace_worker.shaping.boxes import boxes
from tailrace_worker.shaping.buffer import buffer
from tailrace_worker.shaping.continued import continued
from tailrace_worker.shaping.guards.apply import shielded
from tailrace_worker.shaping.guards.compiling import RulesOf
from tailrace_worker.shaping.guards.moderate import Judge


def shapes(request: GenerationRequest) -> bool:
    """Whether the request wants anything of its stream."""
    return bool(request.guards or request.boxes or request.buffering)


def shaped(
    pieces: AsyncGenerator[Piece, None],
    request: GenerationRequest,
    *,
    rules_of: RulesOf,
    judge: Judge,
    said: str,
    left: list[Piece],
) -> AsyncGenerator[Piece, None]:
    """The pieces as the request wants them; `said` is the text that stands from earlier attempts.

    Who leaves before the end finds in `left` what all guards let through and the buffer still held.
    """
    if said:
        pieces = continued(pieces, said)
    pieces = shielded(pieces, request.guards, rules_of=rules_of, judge=judge, said=said)
    if request.boxes:
        pieces = boxes(pieces, said=said)
    if request.buffering:
        pieces = buffer(pieces, request.buffering, left)
    return pieces
