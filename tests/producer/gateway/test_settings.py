"""The settings of the gateway that have secrets."""

import pytest

from tailrace import InvalidSettings
from tailrace.gateway import GatewaySettings

SECRET = "s" * 32


def test_signing_keys_are_read_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_GATEWAY_SIGNING_KEYS", f"new:{SECRET}:x, old:{SECRET}")
    assert [tuple(key) for key in GatewaySettings.read().gateway_signing_keys] == [
        ("new", f"{SECRET}:x"),
        ("old", SECRET),
    ]


@pytest.mark.parametrize("value", [SECRET, f":{SECRET}", "a:short-secret", f"a b:{SECRET}", f"a:{SECRET},a:{SECRET}"])
def test_a_wrong_value_is_told_by_its_variable_and_never_quoted(value: str) -> None:
    with pytest.raises(InvalidSettings, match=r"^TAILRACE_GATEWAY_SIGNING_KEYS: ") as caught:
        GatewaySettings.read(gateway_signing_keys=value)
    assert SECRET not in str(caught.value)
    assert "short-secret" not in str(caught.value)
