"""The summary of an ending, in colours."""

from typing import Final

from rich.text import Text

from tailrace import Settings, Timing, Verdict
from tailrace.cli.display.summary import figures, outcome
from tailrace.cli.tty.control_characters import visible_line
from tailrace.events import Ending

STYLES: Final = {"completed": "green", "failed": "red", "cancelled": "yellow"}

_VERDICTS: Final = {Verdict.GOOD: "green", Verdict.WARN: "yellow", Verdict.BAD: "red"}


def coloured_summary(ending: Ending, settings: Settings) -> Text:
    """Return the summary of an ending. Each figure has the colour of its verdict.

    Args:
        ending: The ending.
        settings: The settings, with the thresholds of the verdicts.
    """
    verdicts = Timing.of(ending, settings).verdicts
    line = Text(visible_line(outcome(ending)), style=STYLES[ending.type])
    coloured = [
        Text(figure, style=_VERDICTS[verdicts[name]] if name in verdicts else "")
        for name, figure in figures(ending).items()
    ]
    return Text.assemble(line, " (", Text(", ").join(coloured), ")") if coloured else line
