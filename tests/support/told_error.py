"""What the adapters make of an error of an SDK."""

import httpx2
import openai
import pytest

from tailrace.errors import ProviderError
from tailrace_worker.providers.errors import Failures

REQUEST = httpx2.Request("POST", "https://provider.test/v1")
RETRY_INFO: dict[str, object] = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "20.04466179s"}


def told(error: Exception, *, reading: bool = False) -> ProviderError:
    """What the adapters make of an SDK's error."""
    acme = Failures("Acme", key_variables=("ACME_KEY",), url="ACME_URL")
    phase = acme.reading(Unfinished()) if reading else acme.calling()
    with pytest.raises(ProviderError) as raised, phase:
        raise error
    assert raised.value.__cause__ is error
    return raised.value


class Unfinished:
    finished = False


def refused(status: int, body: object = None, **headers: str) -> openai.APIStatusError:
    response = httpx2.Response(status, request=REQUEST, headers=headers)
    return openai.APIStatusError("Error code", response=response, body=body)
