"""The ending of a job, in colours."""

from typing import Final

from rich.text import Text

from tailrace import Settings, Timing, Verdict
from tailrace.cli.display.summary import figures, outcome
from tailrace.cli.tty.control_characters import visible_line
from tailrace.events import Ending

STYLES: Final = {"completed": "green", "failed": "red", "cancelled": "yellow"}

_VERDICTS: Final = {Verdict.GOOD: "green", Verdict.WARN: "yellow", Verdict.BAD: "red"}


def judged(ending: Ending, settings: Settings) -> Text:
    """Return the summary of an ending, in which each figure has the colour of its verdict."""
    verdicts = Timing.of(ending, settings).verdicts
    line = Text(visible_line(outcome(ending)), style=STYLES[ending.type])
    told = [
        Text(figure, style=_VERDICTS[verdicts[name]] if name in verdicts else "")
        for name, figure in figures(ending).items()
    ]
    return Text.assemble(line, " (", Text(", ").join(told), ")") if told else line
