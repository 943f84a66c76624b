"""`signature_of`: gives a blocking method the signature and the documentation of an asynchronous one."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

_P = ParamSpec("_P")
_Self = TypeVar("_Self")
_R = TypeVar("_R")


def signature_of(
    method: Callable[Concatenate[Any, _P], object],
) -> Callable[[Callable[Concatenate[_Self, ...], _R]], Callable[Concatenate[_Self, _P], _R]]:
    """Give a method the parameters of another one and, after a first line of its own, their documentation.

    Args:
        method: The method of an asynchronous class.

    Returns:
        A decorator for the method of the blocking class, which passes all arguments on.
    """

    def decorate(blocking: Callable[Concatenate[_Self, ...], _R]) -> Callable[Concatenate[_Self, _P], _R]:
        @wraps(blocking)
        def call(self: _Self, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
            return blocking(self, *args, **kwargs)

        returns = inspect.signature(blocking).return_annotation
        ours, theirs = blocking.__doc__ or "", method.__doc__ or ""
        call.__doc__ = ours if "\n" in ours else ours + theirs.removeprefix(theirs.partition("\n")[0])
        vars(call)["__signature__"] = inspect.signature(method).replace(return_annotation=returns)
        return call

    return decorate
