"""The blocking classes have what the asynchronous ones have: method by method, argument by argument."""

import inspect
import typing
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

import tailrace
from tailrace import sync

PAIRS: list[tuple[type[Any], type[Any]]] = [
    (tailrace.Tailrace, sync.Tailrace),
    (tailrace.Job, sync.Job),
    (tailrace.Tail, sync.Tail),
    (tailrace.Conversation, sync.Conversation),
]
BLOCKING: dict[str, str] = {"aclose": "close", "__aenter__": "__enter__", "__aexit__": "__exit__"}
NOT_FOR_THREADS = {"access", "open", "take_ready"}
"""What only gateways use, what an open tail is made with, and what the blocking one does by itself."""
OWN_WORDS = {"aclose", "connect", "parallel", "tail"}
"""The methods that the documentation of the asynchronous ones does not fit."""


def public(kind: type[Any]) -> dict[str, Any]:
    names = {name for name in dir(kind) if not name.startswith("_") or name in {*BLOCKING, *BLOCKING.values()}}
    return {name: inspect.getattr_static(kind, name) for name in sorted(names)}


def methods() -> list[Any]:
    return [
        pytest.param(getattr(asynchronous, name), getattr(blocking, BLOCKING.get(name, name)), id=f"{kind}.{name}")
        for asynchronous, blocking in PAIRS
        for kind, name, member in ((asynchronous.__name__, *item) for item in public(asynchronous).items())
        if callable(getattr(asynchronous, name)) and member is not None and name not in NOT_FOR_THREADS
    ]


@pytest.mark.parametrize(("asynchronous", "blocking"), PAIRS, ids=lambda kind: kind.__name__)
def test_each_class_has_the_members_of_the_other(asynchronous: type[Any], blocking: type[Any]) -> None:
    wanted = {BLOCKING.get(name, name) for name in public(asynchronous)} - NOT_FOR_THREADS
    assert set(public(blocking)) == wanted


@pytest.mark.parametrize(("asynchronous", "blocking"), methods())
def test_a_method_takes_the_same_arguments_and_returns_the_same(
    asynchronous: Callable[..., Any], blocking: Callable[..., Any]
) -> None:
    theirs, ours = inspect.signature(asynchronous), inspect.signature(blocking)
    documented = inspect.getdoc(blocking) or ""
    if not asynchronous.__name__.startswith("__") and asynchronous.__name__ not in OWN_WORDS:
        assert documented == inspect.getdoc(asynchronous)
    for name, parameter in ours.parameters.items():
        if name != "self" and not blocking.__name__.startswith("__"):
            assert f"{name}: " in documented, name
            assert parameter.annotation is not parameter.empty
    assert list(ours.parameters.values()) == list(theirs.parameters.values())
    assert _waited_for(ours.return_annotation) == _waited_for(theirs.return_annotation)


@pytest.mark.parametrize(("asynchronous", "blocking"), methods())
def test_a_method_has_as_many_overloads(asynchronous: Callable[..., Any], blocking: Callable[..., Any]) -> None:
    theirs, ours = typing.get_overloads(asynchronous), typing.get_overloads(blocking)
    assert [inspect.signature(each).parameters for each in ours] == [
        inspect.signature(each).parameters for each in theirs
    ]


@pytest.mark.parametrize("kind", [*(blocking for _, blocking in PAIRS), sync.Iteration], ids=lambda kind: kind.__name__)
def test_everything_is_documented_and_nothing_of_it_tells_to_await(kind: type[Any]) -> None:
    for name, member in {kind.__name__: kind, **public(kind)}.items():
        if name in {"id", "tenant"} or name.startswith("__"):
            continue
        doc = inspect.getdoc(getattr(member, "__func__", member)) or ""
        assert doc, name
        assert not {"await", "async", "aclosing"} & set(doc.replace("`", " ").split()), name


def _waited_for(annotation: Any) -> str:
    """What a call returns, by the names of the asynchronous classes."""
    if typing.get_origin(annotation) in {AsyncGenerator, sync.Iteration}:
        return f"Iteration[{typing.get_args(annotation)[0]}]"
    return str(annotation).replace("tailrace.sync.", "tailrace.").replace("tailrace.tail.", "tailrace.tailing.tail.")
