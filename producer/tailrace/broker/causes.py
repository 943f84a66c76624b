"""Explains why Redis could not be used, without showing a password."""

import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from redis import exceptions

_OPEN_OPTIONS: Final = frozenset({"db", "protocol"})
"""Options of a URL that are shown with their values."""
_HIDDEN_OPTIONS: Final = frozenset({"password", "username"})
_INNER_COMMAND: Final = re.compile(r"to run the '([^']+)' command")
"""Finds the command in what Redis says of a command, or of one that a script runs."""
_OF_ONE: Final = re.compile(r"^(~arq:[a-z-]+:|~.*:(?:conversation|idempotency|jobs|throttle|worker):).*")
_ON_KEYS: Final = frozenset({"DEL", "EXISTS", "MGET", "UNLINK"})
_ON_CHANNELS: Final = frozenset({"PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE"})
_ON_NOTHING: Final = frozenset({"CLIENT", "CONFIG", "HELLO", "INFO", "PING", "TIME", "WAIT", "WAITAOF"})


_CODE: Final = re.compile(r"(?:^|: -|because of: )([A-Z]{3,})\b")
"""The code at the beginning of an error reply, or of the reply that it quotes from a script or a transaction."""
_CODES: Final[Mapping[type[Exception], str]] = {
    exceptions.BusyLoadingError: "LOADING",
    exceptions.NoPermissionError: "NOPERM",
    exceptions.OutOfMemoryError: "OOM",
    exceptions.ReadOnlyError: "READONLY",
}
"""The codes that redis-py removes from the replies."""
_REFUSED_WRITES: Final = frozenset({"OOM", "MISCONF", "NOREPLICAS"})


def reply_code(reply: Exception) -> str:
    """Return the first word of an error reply as Redis sent it, such as `OOM`."""
    if type(reply) in _CODES:
        return _CODES[type(reply)]
    if "ACL failure" in str(reply):
        return "NOPERM"
    code = _CODE.search(str(reply))
    return code[1] if code else type(reply).__name__


def refuses_writes(error: Exception) -> bool:
    """Return whether Redis refuses all writes for now: it has no memory, no disk or no replicas left."""
    return isinstance(error.__cause__, exceptions.ResponseError) and reply_code(error.__cause__) in _REFUSED_WRITES


def without_password(url: str) -> str:
    """Return a URL for messages.

    Args:
        url: The URL, which may be malformed.

    Returns:
        The URL with `***` in place of everything that could be a part of a password.
    """
    base, question_mark, query = url.partition("?")
    scheme, separator, rest = base.partition("://")
    credentials, at, place = rest.rpartition("@")
    if (not separator and "@" in url) or "@" in query:
        return f"{scheme}://***" if separator else "***"
    shown = f"{scheme}{separator}"
    if at:
        user, colon, _ = credentials.partition(":")
        shown += f"{user}:***@" if colon else "***@"
    return shown + place + question_mark + "&".join(map(_shown_option, query.split("&") if query else ()))


def check_host(url: str) -> None:
    """Refuse a URL whose host may be a part of a password: error messages show the host.

    Args:
        url: The URL.

    Raises:
        ValueError: There is an `@` after the host.
    """
    parts = urlsplit(url)
    options = (each for each in parts.query.split("&") if not each.startswith(("password=", "username=")))
    if parts.scheme != "unix" and any("@" in each for each in (parts.path, parts.fragment, *options)):
        raise ValueError("there is an @ after the host")


def _shown_option(option: str) -> str:
    # After an & in a password, its next part looks like the name of an option.
    name = option.partition("=")[0]
    return option if name in _OPEN_OPTIONS else f"{name}=***" if name in _HIDDEN_OPTIONS else "***"


def why_no_url(error: Exception) -> str:
    """Explain why a URL cannot be used.

    Args:
        error: The error of redis-py. Its own text may quote a password: before a stray `/` it would be the port.

    Returns:
        The reason, as a clause.
    """
    if "schemes" in str(error):
        return "it must begin with redis://, rediss:// or unix://"
    if isinstance(error, ValueError) and "connection URL" not in str(error):
        return "its host or port cannot be read (in a user or password @ is written as %40, : as %3A and / as %2F)"
    return "one of its options is unknown, or has a value that is not allowed"


def why_unreachable(error: BaseException) -> str:
    """Explain why there is no connection, or no reply on it.

    Args:
        error: The error of redis-py or of the socket.

    Returns:
        The reason, as a clause.
    """
    cause: BaseException | None = error
    while cause is not None:
        match cause:
            case ssl.SSLCertVerificationError():
                return f"its TLS certificate is not trusted: {cause.verify_message}"
            case ssl.SSLError():
                return f"TLS failed: {cause.reason or cause}"
            case socket.gaierror():
                return f"its host name is not known (DNS: {cause.strerror})"
            case _:
                cause = cause.__cause__ or cause.__context__
    return str(error) or "no reply in time"


def greeting_hint(url: str, said: str) -> str:
    """Guess why the first connection to a URL failed.

    Args:
        url: The URL.
        said: What the error says.

    Returns:
        A sentence with a space before it, or `""`.
    """
    if url.startswith("rediss:") and "Timeout connecting" in said:
        return " rediss:// requires TLS: does the server support it?"
    if url.startswith("redis:") and ("closed" in said or "reset" in said):
        return " Does the server require TLS (rediss://)?"
    return ""


def why_refused(error: BaseException, command: Sequence[Any] = ()) -> str:
    """Explain why Redis refused a command.

    Args:
        error: The error reply.
        command: The command.

    Returns:
        The text of the reply; if a permission is missing, with the rules that the user's ACL needs.
    """
    said = str(error)
    if not command or not (isinstance(error, exceptions.NoPermissionError) or "ACL failure" in said):
        return said
    inner = _INNER_COMMAND.search(said)
    name = inner[1] if inner else str(command[0]).lower()
    rights = [f"+{name}", *sorted({_pattern(each) for each in _touched(command)})]
    return f"{said} (the user's ACL needs {' '.join(rights)})"


def _touched(command: Sequence[Any]) -> list[str]:
    """Return the keys of a command as `~KEY`, and its channels as `&CHANNEL`."""
    name, *arguments = command
    if name in _ON_CHANNELS:
        return [f"&{_text(channel)}" for channel in (arguments[:1] if name == "PUBLISH" else arguments)]
    if name in _ON_NOTHING:
        return []
    if name in _ON_KEYS:
        keys = arguments
    elif name == "EVAL":
        # Scripts build the names of arq's keys.
        keys = [*arguments[2 : 2 + int(arguments[1])], "arq:*"]
    elif name == "BLPOP":
        keys = arguments[:-1]
    elif "STREAMS" in arguments:
        streams = arguments[arguments.index("STREAMS") + 1 :]
        keys = streams[: len(streams) // 2]
    else:
        keys = arguments[1:2] if name in {"XGROUP", "XINFO"} else arguments[:1]
    return [f"~{_text(key)}" for key in keys]


def _pattern(touched: str) -> str:
    """Return the ACL pattern for the keys of all jobs, tenants or workers."""
    pattern = re.sub(r"\{[^}]*\}", "*", touched)
    return _OF_ONE.sub(r"\1*", pattern)


def _text(name: Any) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)
