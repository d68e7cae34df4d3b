"""Python functions whose arguments are the fields of a request."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from gioconda.requests.fields import options_of

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")


def takes(request: Callable[P, R]) -> Callable[[Callable[[R], T]], Callable[P, T]]:
    """Decorate a function of a request, so that callers pass the request's fields instead.

    Type checkers and `inspect.signature` see the fields as its arguments.

    Args:
        request: The request's class.
    """

    def decorate(function: Callable[[R], T]) -> Callable[P, T]:
        """Replace the function by one that builds the request from its arguments."""

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return function(request(*args, **kwargs))

        _sign(call, _signature(request), function)
        return call

    return decorate


def method_takes(
    request: Callable[P, R],
) -> Callable[[Callable[[S, R], T]], Callable[Concatenate[S, P], T]]:
    """Decorate a method of a request, as `takes` does a function.

    Args:
        request: The request's class.
    """

    def decorate(method: Callable[[S, R], T]) -> Callable[Concatenate[S, P], T]:
        """Replace the method by one that builds the request from its arguments."""

        @functools.wraps(method)
        def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return method(self, request(*args, **kwargs))

        own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        signature = _signature(request)
        _sign(call, signature.replace(parameters=[own, *signature.parameters.values()]), method)
        return call

    return decorate


def _sign(call: Callable[..., object], signature: inspect.Signature, function: Callable[..., object]) -> None:
    """Show a signature, with what `function` returns, as that of `call`."""
    returned = inspect.signature(function).return_annotation
    setattr(call, "__signature__", signature.replace(return_annotation=returned))  # noqa: B010


def _signature(request: Callable[..., object]) -> inspect.Signature:
    """The signature of a request's class, with its own options before those of its bases."""
    parameters = inspect.signature(request).parameters
    assert dataclasses.is_dataclass(request)
    order = [option.name for option in options_of(request)]
    positional = [name for name in parameters if parameters[name].kind is not inspect.Parameter.KEYWORD_ONLY]
    others = [name for name in parameters if name not in (*positional, *order)]
    names = dict.fromkeys([*positional, *order, *others])
    return inspect.Signature([parameters[name] for name in names])
