"""What can be set, and how a wrong value is told."""

from typing import Any, get_type_hints

import pytest

from tailrace import InvalidSettings, Settings, Tailrace
from tailrace.settings import SettingsFields


def test_an_argument_wins_over_the_environment_and_the_environment_over_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAILRACE_PREFIX", "from-environment")
    monkeypatch.setenv("TAILRACE_KEEP_SECONDS", "7")
    read = Settings.read(prefix="given", redis_url=None)
    assert (read.prefix, read.keep_seconds, read.max_attempts) == ("given", 7, 3)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("TAILRACE_KEEP_SECONDS", "0"), ("TAILRACE_MAX_ATTEMPTS", "many"), ("TAILRACE_PREFIX", "a b")],
)
def test_a_wrong_value_is_told_with_its_variable(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidSettings, match=f"{variable}.*{value}"):
        Settings.read()


@pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", "redis://localhost:port/0", ""])
def test_a_url_that_is_none_is_told_at_once(url: str) -> None:
    with pytest.raises(InvalidSettings, match="URL"):
        Tailrace.connect(url)


def test_a_password_is_never_shown() -> None:
    with pytest.raises(InvalidSettings) as caught:
        Tailrace.connect("http://user:s3cret@localhost")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("keep_second", 4, "keep_second: there is no such setting, did you mean keep_seconds?"),
        ("colour", None, "colour: there is no such setting."),
    ],
)
def test_a_setting_that_does_not_exist_is_refused(name: str, value: Any, says: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        Tailrace.connect(**{name: value})
    assert str(caught.value) == says
    with pytest.raises(ValueError, match=name):
        Settings.model_validate({name: value})


def test_the_arguments_of_connect_are_the_fields_of_the_settings() -> None:
    arguments = get_type_hints(SettingsFields)
    assert arguments.pop("queue_limit_seconds") is arguments["expires_in_seconds"]
    annotations = get_type_hints(Settings)
    assert arguments == {name: annotations[name] for name in Settings.model_fields if name != "redis_url"}


def test_the_older_name_of_a_field_goes_on_working(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.read(queue_limit_seconds=7).expires_in_seconds == 7
    assert Settings.model_validate({"queue_limit_seconds": 8}).queue_limit_seconds == 8
    monkeypatch.setenv("TAILRACE_QUEUE_LIMIT_SECONDS", "9")
    assert Settings.read().expires_in_seconds == 9
    assert Settings.read(expires_in_seconds=10).expires_in_seconds == 10
    monkeypatch.setenv("TAILRACE_QUEUE_LIMIT_SECONDS", "0")
    with pytest.raises(InvalidSettings, match=r"^TAILRACE_QUEUE_LIMIT_SECONDS: "):
        Settings.read()
