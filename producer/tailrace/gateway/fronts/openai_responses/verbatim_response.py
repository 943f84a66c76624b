"""`VerbatimResponse`: the response object of a job whose frames are the provider's own."""

from typing import Any

from tailrace import Cancelled, Completed, Event, Failed, Gap, Started
from tailrace.encoders.newest_response import NewestResponse
from tailrace.raw_frames import FrameDecoder


class VerbatimResponse:
    """Finds the newest response object among the frames of a job, from the beginning of its stream."""

    def __init__(self) -> None:
        self.is_complete: bool = True
        """False if Redis has lost a part of the answer."""
        self._newest = NewestResponse()
        self._decoder = FrameDecoder()
        self._ending: Completed | Failed | Cancelled | None = None

    def add(self, event: Event) -> None:
        """Add the next event.

        Args:
            event: The next event of the tail.
        """
        match event:
            case Started():
                self._decoder, self.is_complete = FrameDecoder(), True
            case Gap():
                self.is_complete = False
            case Completed() | Failed() | Cancelled():
                self._ending = event
            case _:
                pass
        raw: bytes | None = getattr(event, "raw", None)
        for frame in self._decoder.feed(raw) if raw else ():
            self._newest.add(frame.data)

    @property
    def response(self) -> dict[str, Any] | None:
        """The response as it is after the events so far; `None` if the provider has sent none."""
        return self._newest.response(self._ending)
