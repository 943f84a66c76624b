"""The logs of verbs that serve, and their short form."""

import logging
import re

from tailrace.cli.log_format import LOG_FORMAT, shortened


def test_a_line_is_shortened_to_its_time_its_level_and_its_message() -> None:
    record = logging.LogRecord("tailrace.gateway", logging.WARNING, "path", 1, "no %s: a: b", ("Redis",), None)
    line = logging.Formatter(LOG_FORMAT).format(record)
    assert "tailrace.gateway" in line
    assert re.fullmatch(r"\d\d:\d\d:\d\d WARNING no Redis: a: b", shortened(line))


def test_any_other_line_is_left_as_it_is() -> None:
    for line in (
        "",
        "    raise ValueError",
        "gateway on http://127.0.0.1:8700",
        "said: 2026-01-02 03:04:05,678 9 INFO a: b",
    ):
        assert shortened(line) == line
