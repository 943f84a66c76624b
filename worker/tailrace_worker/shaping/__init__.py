"""The stages that shape a provider's answer before a person may see it. Each is an async generator over pieces."""

from collections.abc import AsyncGenerator
from functools import partial

from tailrace.request.any_request import AnyRequest
from tailrace.request.verbatim_request import VerbatimRequest
from tailrace_worker.providers.base import Piece
from tailrace_worker.shaping.boxes import boxes
from tailrace_worker.shaping.buffer import buffer
from tailrace_worker.shaping.continued import continued
from tailrace_worker.shaping.guards.apply import shielded
from tailrace_worker.shaping.guards.compiler import RulesOf
from tailrace_worker.shaping.guards.moderate import Judge
from tailrace_worker.shaping.guards.unchanged import unchanged


def shapes(request: AnyRequest) -> bool:
    """Return whether the request asks for any shaping: guards, boxes or buffering."""
    if isinstance(request, VerbatimRequest):
        return bool(request.guards)
    return bool(request.guards or request.boxes or request.buffering)


def shaped(
    pieces: AsyncGenerator[Piece, None],
    request: AnyRequest,
    *,
    rules_of: RulesOf,
    judge: Judge,
    said: str,
    left: list[Piece],
) -> AsyncGenerator[Piece, None]:
    """Shape an answer as the request asks for it.

    Args:
        pieces: The pieces of the provider.
        request: The request.
        rules_of: The compiled rules of its guards.
        judge: Judges texts for the guard `moderate`.
        said: The text of earlier attempts that this one continues.
        left: If the stages are closed before the end, the pieces that all guards let through and the buffer still held
            are added to it.

    Returns:
        The pieces for the readers.
    """
    if isinstance(request, VerbatimRequest):
        return unchanged(pieces, partial(shielded, guards=request.guards, rules_of=rules_of, judge=judge))
    if said:
        pieces = continued(pieces, said)
    pieces = shielded(pieces, request.guards, rules_of=rules_of, judge=judge, said=said)
    if request.boxes:
        pieces = boxes(pieces, said=said)
    if request.buffering:
        pieces = buffer(pieces, request.buffering, left)
    return pieces
