"""What a worker reads from the body of a job before it runs the job."""

import json
import pickle

import pytest

from tailrace_worker.queueing.job_body import from_json, providers_of, providers_of_request

REQUEST = {"provider": "openai", "model": "m", "fallbacks": [{"provider": "anthropic", "model": "n"}]}


def body(**changed: object) -> bytes:
    return json.dumps({"t": None, "f": "generate", "a": [], "k": {}, "et": 1, **changed}).encode()


@pytest.mark.parametrize(
    ("written", "providers"),
    [
        (body(providers=["openai", "anthropic"]), ("openai", "anthropic")),
        (body(), None),
        (body(providers=[]), None),
        (body(providers="openai"), None),
        (body(a=[REQUEST]), ("openai", "anthropic")),
        (body(k={"request": REQUEST}), ("openai", "anthropic")),
        (body(a=[{"provider": "openai"}]), ("openai",)),
        (body(a=[{**REQUEST, "fallbacks": 7}]), ()),
        (body(a=["openai"]), ()),
        (body(a=[REQUEST, REQUEST]), ()),
        (b"[1]", ()),
        (b"", ()),
        (b"[" * 100_000, ()),
        (pickle.dumps({"f": "generate"}), ()),
    ],
    ids=[
        *("named", "not named", "no names", "no list", "carried", "carried by name", "no fallbacks"),
        *("no such fallbacks", "no request", "two requests", "a list", "gone", "deep", "pickled"),
    ],
)
def test_the_providers_of_a_job_are_read_from_its_body(written: bytes, providers: tuple[str, ...] | None) -> None:
    assert providers_of(written) == providers


def test_the_providers_of_a_request_are_its_own_and_those_of_its_fallbacks() -> None:
    assert providers_of_request(json.dumps(REQUEST).encode()) == ("openai", "anthropic")
    assert providers_of_request(b"{}") == providers_of_request(b"no request") == ()


def test_the_names_of_the_providers_are_kept_from_arq() -> None:
    assert from_json(body(providers=["openai"])) == from_json(body())
