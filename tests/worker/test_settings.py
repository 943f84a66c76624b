"""What a worker is not started with: the variable is named, with its rule and the value."""

import json
import logging
import re

import pytest

from tailrace import InvalidSettings
from tailrace.cli import main
from tailrace_worker.processes.supervisor import Supervisor
from tailrace_worker.settings import ProviderEntry, WorkerSettings

NAME = "should match pattern"


def start(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    """Returns the exit code and the line that was said."""
    try:
        code = main(["worker", *options])
    except SystemExit as left:
        assert isinstance(left.code, int)
        code = left.code
    out, said = capsys.readouterr()
    assert (out, said.count("\n")) == ("", 1)
    return code, said.rstrip()


@pytest.mark.parametrize(
    ("variable", "value", "rule"),
    [
        ("TAILRACE_QUEUES", "in teractive", NAME),
        ("TAILRACE_QUEUES", "interactive:bell", NAME),
        ("TAILRACE_QUEUES", "größte", NAME),
        ("TAILRACE_QUEUES", "x" * 65, NAME),
        ("TAILRACE_QUEUES", "fast,slow,fast", "Each queue should be named once"),
        ("TAILRACE_LEASE_SECONDS", "0.5", "greater than or equal to 1"),
        ("TAILRACE_LEASE_SECONDS", "301", "less than or equal to 300"),
        ("TAILRACE_LEASE_SECONDS", "nan", "less than or equal to 300"),
        ("TAILRACE_LEASE_SECONDS", "5s", "a valid number"),
        ("TAILRACE_LEASE_SECONDS", "", "a valid number"),
        ("TAILRACE_PROVIDER_TRIES", "0", "greater than or equal to 1"),
        ("TAILRACE_MAX_JOBS", "0", "greater than or equal to 1"),
        ("TAILRACE_MAX_JOBS", "10001", "less than or equal to 10000"),
        ("TAILRACE_MAX_JOBS", "1.5", "a valid integer"),
        ("TAILRACE_GRACE_SECONDS", "-1", "greater than or equal to 0"),
        ("TAILRACE_GRACE_SECONDS", "inf", "less than or equal to 31536000"),
        ("TAILRACE_CANCEL_POLL_MS", "0", "greater than or equal to 1"),
        ("TAILRACE_BATCH_MS", "-1", "greater than or equal to 0"),
        ("TAILRACE_MAX_WAITING_BYTES", "1", "greater than or equal to 65536"),
        ("TAILRACE_RESEND_SECONDS", "inf", "less than or equal to 31536000"),
        ("TAILRACE_MAX_RESEND_BYTES", "-1", "greater than or equal to 0"),
        ("TAILRACE_MAX_ATTEMPTS", "0", "greater than or equal to 1"),
        ("TAILRACE_MAX_QUEUED", "-1", "greater than or equal to 0"),
        ("TAILRACE_TOTAL_SECONDS", "0", "greater than 0"),
        ("TAILRACE_KEEP_SECONDS", "0.0001", "greater than or equal to 1"),
        ("TAILRACE_KEEP_SECONDS", "inf", "less than or equal to 31536000"),
        ("TAILRACE_QUEUE_LIMIT_SECONDS", "inf", "less than or equal to 31536000"),
        ("TAILRACE_PREFIX", "{x}", NAME),
    ],
)
@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_worker_is_not_started_with_a_value_that_breaks_its_rule(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    rule: str,
    processes: str,
) -> None:
    monkeypatch.setenv(variable, value)
    code, said = start(capsys, "--processes", processes)
    assert code == 2
    assert said.startswith(f"tailrace worker: {variable}: ")
    assert rule in said
    assert said.endswith(f", not {value!r}")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{local", ": Input should be a JSON object"),
        ('"local"', ": Input should be a valid dictionary"),
        ('{"local": 1}', ": local: Input should be a valid dictionary"),
        ('{"local": {"kind": "cohere", "base_url": "http://x"}}', ": local.kind: Input should be 'openai', "),
        ('{"local": {"kind": "openai", "base_url": "x"}}', ": local.base_url: String should match pattern"),
        ('{"local": {"kind": "openai", "base_url": "http://x y"}}', ": local.base_url: String should match pattern"),
        (
            '{"local": {"kind": "openai", "base_url": "http://u:sk-1@x"}}',
            ": local.base_url: String should match pattern",
        ),
        ('{"local": {"kind": "openai", "base_url": "http://x:99999/v1"}}', ": local.base_url: The port should be"),
        ('{"local": {"kind": "openai", "base_url": "http://x:80a0/v1"}}', ": local.base_url: The port should be"),
        (
            '{"local": {"kind": "openai", "base_url": "http://x", "key_variable": "gsk_sk-1"}}',
            ": local.key_variable: String should match pattern",
        ),
        ('{"Lo cal": {"kind": "openai", "base_url": "http://x"}}', ": Lo cal.[key]: String should match pattern"),
        ('{"local": {"kind": "openai", "base_url": "http://x", "key": "sk-1"}}', ": local.key: Extra inputs are not"),
        (
            '{"openai": {"kind": "anthropic", "base_url": "http://x"}}',
            ": The kind of an entry named openai should be openai",
        ),
    ],
)
def test_an_entry_of_a_provider_is_told_by_its_place_and_never_quoted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str, said: str
) -> None:
    monkeypatch.setenv("TAILRACE_PROVIDERS", value)
    code, line = start(capsys)
    assert code == 2
    assert line.startswith(f"tailrace worker: TAILRACE_PROVIDERS{said}")
    assert "sk-1" not in line


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"headers": ["X-A: sk-1"]}, "headers: Input should be a valid dictionary"),
        ({"headers": {"X-A: sk-1": "x"}}, "headers: The name of a header should be a token"),
        ({"headers": {"X-A: sk-1": 1}}, "headers: The name of a header should be a token"),
        ({"headers": {"": "sk-1"}}, "headers: The name of a header should be a token"),
        ({"headers": {"X-Größe": "sk-1"}}, "headers: The name of a header should be a token"),
        ({"headers": {"X-A\n": "sk-1"}}, "headers: The name of a header should be a token"),
        ({"headers": {"X-A": "sk-1\r\nX-B: 2"}}, "headers.X-A: String should match pattern"),
        ({"headers": {"X-A": "sk-1\n"}}, "headers.X-A: String should match pattern"),
        ({"headers": {"X-A": " sk-1"}}, "headers.X-A: String should match pattern"),
        ({"headers": {"X-A": "sk-1é"}}, "headers.X-A: String should match pattern"),
        ({"headers": {"X-A": "sk-1\u007f"}}, "headers.X-A: String should match pattern"),
        ({"headers": {"X-A": ""}}, "headers.X-A: String should match pattern"),
        ({"headers": {"X-A": 1}}, "headers.X-A: Input should be a valid string"),
        ({"headers": {"Host": "sk-1"}}, "headers: host is set by the worker itself"),
        ({"headers": {"x-a": "sk-1", "X-A": "sk-1"}}, "headers: Each header should be named once"),
        ({"header_variables": {"Content-Length": "A"}}, "header_variables: content-length is set by the worker itself"),
        ({"header_variables": {"X-A": "sk-1"}}, "header_variables.X-A: String should match pattern"),
        ({"header_variables": {"X A": "KEY"}}, "header_variables: The name of a header should be a token"),
        (
            {"headers": {"X-A": "sk-1"}, "header_variables": {"x-a": "KEY"}},
            "x-a should be in headers or in header_variables, not in both",
        ),
    ],
    ids=str,
)
def test_a_header_that_cannot_be_sent_is_told_without_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fields: dict[str, object], said: str
) -> None:
    entry = {"kind": "openai", "base_url": "http://x", **fields}
    monkeypatch.setenv("TAILRACE_PROVIDERS", json.dumps({"local": entry}))
    code, line = start(capsys)
    assert code == 2
    place = "local: " if said.startswith("x-a ") else "local."
    assert line.startswith(f"tailrace worker: TAILRACE_PROVIDERS: {place}{said}")
    assert "sk-1" not in line


def test_headers_are_read_with_the_entry_of_their_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {
        "kind": "openai",
        "base_url": "http://x",
        "headers": {"X-Title": "A title;\t1"},
        "header_variables": {"x-api-key": "KEY_2"},
    }
    monkeypatch.setenv("TAILRACE_PROVIDERS", json.dumps({"local": entry}))
    assert WorkerSettings.read().providers == {"local": ProviderEntry.model_validate(entry)}


@pytest.mark.parametrize("value", ["", " ", ",", "fast,", "fast,,slow"])
def test_an_empty_name_is_no_queue(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    monkeypatch.setenv("TAILRACE_QUEUES", value)
    code, said = start(capsys)
    assert code == 2
    assert re.search(r"TAILRACE_QUEUES: String should match pattern .*, not ''$", said)


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--queues", "a,,b", "TAILRACE_QUEUES: "),
        ("--max-jobs", "0", "TAILRACE_MAX_JOBS: "),
        ("--max-jobs", "many", "--max-jobs: invalid int value: 'many'"),
        ("--processes", "0", "--processes: '0' is not a number of processes"),
        ("--processes", "two", "--processes: 'two' is not a number of processes"),
        ("--log-level", "loud", "--log-level: invalid choice: 'loud'"),
    ],
)
def test_a_wrong_option_is_misuse(capsys: pytest.CaptureFixture[str], option: str, value: str, says: str) -> None:
    code, said = start(capsys, option, value)
    assert code == 2
    assert says in said


@pytest.mark.parametrize("value", ["", " ", "{}"])
def test_no_providers_are_none(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Docker Compose passes a variable that is not set on as an empty one."""
    monkeypatch.setenv("TAILRACE_PROVIDERS", value)
    assert WorkerSettings.read().providers == {}


def test_the_order_of_the_queues_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_QUEUES", "interactive, batch")
    assert WorkerSettings.read().queues == ("interactive", "batch")


def test_a_queue_cannot_be_named_twice() -> None:
    with pytest.raises(InvalidSettings, match="named once"):
        WorkerSettings.read(queues=["a", "a"])


@pytest.mark.parametrize(("value", "level"), [("debug", "debug"), ("WARNING", "warning")])
def test_the_log_level_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, value: str, level: str) -> None:
    monkeypatch.setenv("TAILRACE_LOG_LEVEL", value)
    assert WorkerSettings.read().log_level == level
    assert WorkerSettings.read(log_level="error").log_level == "error"


@pytest.mark.parametrize(
    ("options", "level"), [((), "WARNING"), (("--log-level", "debug"), "DEBUG")], ids=["variable", "option"]
)
def test_a_worker_logs_at_the_level_that_it_is_told(
    options: tuple[str, ...], level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def end(self: Supervisor) -> int:
        return 0

    def configure(*, level: str, format: str) -> None:  # noqa: A002
        levels.append(level)

    levels: list[str] = []
    monkeypatch.setattr(Supervisor, "run", end)
    monkeypatch.setattr(logging, "basicConfig", configure)
    monkeypatch.setenv("TAILRACE_LOG_LEVEL", "warning")
    assert main(["worker", "--processes", "2", *options]) == 0
    assert levels == [level]


def test_a_log_level_that_there_is_not_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TAILRACE_LOG_LEVEL", "loud")
    code, said = start(capsys)
    assert code == 2
    assert "TAILRACE_LOG_LEVEL: " in said
