"""The lines of several processes on one terminal."""

import io
import sys

import pytest

from tailrace_worker.dev.log_lines import LogLines

NAMES = ("a", "worker-1")


class Terminal(io.StringIO):
    """A stdout that is a terminal."""

    def isatty(self) -> bool:
        return True


class Gone(Terminal):
    """A terminal that is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.tries = 0

    def flush(self) -> None:
        self.tries += 1
        raise OSError(5, "Input/output error")


def told(_: Exception) -> None:
    raise AssertionError


def shown(monkeypatch: pytest.MonkeyPatch, stdout: io.StringIO, name: str, line: str) -> str:
    monkeypatch.setattr(sys, "stdout", stdout)
    LogLines(NAMES, on_error=told).show(name, line)
    return stdout.getvalue()


def test_a_line_comes_after_the_padded_name_of_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, io.StringIO(), "a", "one") == "a        | one\n"
    assert shown(monkeypatch, io.StringIO(), "worker-1", "  two") == "worker-1 |   two\n"
    assert shown(monkeypatch, io.StringIO(), "a", "") == "a        |\n"


def test_on_a_terminal_each_name_has_a_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, Terminal(), "a", "one") == "\x1b[36ma        |\x1b[39m one\n"
    assert shown(monkeypatch, Terminal(), "worker-1", "one") == "\x1b[35mworker-1 |\x1b[39m one\n"


def test_a_strong_line_is_bold_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for stdout, expected in (
        (Terminal(), "\x1b[36ma        |\x1b[39m \x1b[1mone\x1b[22m\n"),
        (io.StringIO(), "a        | one\n"),
    ):
        monkeypatch.setattr(sys, "stdout", stdout)
        LogLines(NAMES, on_error=told).show("a", "one", is_strong=True)
        assert stdout.getvalue() == expected


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_that_wants_no_colours_gets_none(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    assert shown(monkeypatch, Terminal(), "a", "one") == "a        | one\n"


def test_a_terminal_gets_no_control_characters_of_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, io.StringIO(), "a", "\x1b[2Jone\r") == "a        | \N{SYMBOL FOR ESCAPE}[2Jone\n"


def test_a_terminal_that_is_gone_is_told_once_and_not_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Gone()
    monkeypatch.setattr(sys, "stdout", gone)
    errors: list[Exception] = []
    lines = LogLines(NAMES, on_error=errors.append)
    lines.show("a", "one")
    lines.show("a", "two")
    assert [str(error) for error in errors] == ["[Errno 5] Input/output error"]
    assert gone.tries == 1
