"""`JobForm`: how an API shows a job to its clients."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from starlette.responses import Response

from tailrace.encoders import Encoder

_Encoder = TypeVar("_Encoder", bound=Encoder)


async def _nothing(_: Any) -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class JobForm(Generic[_Encoder]):
    """How an API shows a job to its clients."""

    make: Callable[[], _Encoder]
    """Makes an encoder for a stream, or for one attempt of an answer that is not streamed."""
    whole: Callable[[_Encoder], Response]
    """Makes the response to a call that is not streamed, from the encoder that has the whole answer."""
    before: Callable[[_Encoder], Awaitable[None]] = _nothing
    """Awaited before anything of an encoder is given out."""
