"""Answers on a terminal that can be drawn on. It takes rich, and is imported where that is wanted alone."""

from tailrace.cli.terminal.live import LiveAnswer
from tailrace.cli.terminal.panels import LivePanels

__all__ = ["LiveAnswer", "LivePanels"]
