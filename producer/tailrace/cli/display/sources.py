"""`Sources`: the sources that an answer cites, as a numbered list below it."""

from collections.abc import Sequence

from tailrace.events import Citation, Event, Started


class Sources:
    """Collects the sources of one answer, in the order in which they are first cited."""

    def __init__(self) -> None:
        self._lines: dict[object, str] = {}

    def add(self, event: Event) -> None:
        """Add an event. A new attempt that does not continue begins with no sources."""
        match event:
            case Started(continues=False):
                self._lines.clear()
            case Citation():
                source = event.source, event.url or event.file_id, event.title, event.source_index
                self._lines.setdefault(source, _described(event))
            case _:
                pass

    def lines(self) -> Sequence[str]:
        """Return a heading and one line for each source; nothing if there are none."""
        if not self._lines:
            return ()
        return ("Sources", *(f"{number:>2}. {line}" for number, line in enumerate(self._lines.values(), 1)))


def _described(citation: Citation) -> str:
    name = " ".join((citation.title or "").split())
    if not name:
        number = "" if citation.source_index is None else f" {citation.source_index + 1}"
        name = f"{citation.source.replace('_', ' ')}{number}"
    address = " ".join((citation.url or citation.file_id or "").split())
    return f"{name}: {address}" if address else name
