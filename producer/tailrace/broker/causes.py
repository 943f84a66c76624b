"""Why Redis could not be used, in words that help and hold no password."""

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
"""In what Redis says of a command, or of one that a script runs."""
_OF_ONE: Final = re.compile(r"^(~arq:[a-z-]+:|~.*:(?:idempotency|throttle|worker):).*")
_ON_KEYS: Final = frozenset({"DEL", "EXISTS", "MGET", "UNLINK"})
_ON_CHANNELS: Final = frozenset({"PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE"})
_ON_NOTHING: Final = frozenset({"CLIENT", "CONFIG", "HELLO", "INFO", "PING", "TIME", "WAIT", "WAITAOF"})


_CODE: Final = re.compile(r"(?:^|: -|because of: )([A-Z]{3,})\b")
"""How an error reply begins, or what it quotes: of a command in a script of Redis 6, or in a transaction."""
_CODES: Final[Mapping[type[Exception], str]] = {
    exceptions.BusyLoadingError: "LOADING",
    exceptions.NoPermissionError: "NOPERM",
    exceptions.OutOfMemoryError: "OOM",
    exceptions.ReadOnlyError: "READONLY",
}
"""The codes that redis-py takes off the replies."""
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
    """The URL as it may be shown. What could be a part of a password is not, wherever it stands."""
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
    """Raises `ValueError` where the host may be a part of a password, which every error would then tell."""
    parts = urlsplit(url)
    options = (each for each in parts.query.split("&") if not each.startswith(("password=", "username=")))
    if parts.scheme != "unix" and any("@" in each for each in (parts.path, parts.fragment, *options)):
        raise ValueError("an @ stands behind the host")


def _shown_option(option: str) -> str:
    # After an & in a password, its next part looks like the name of an option.
    name = option.partition("=")[0]
    return option if name in _OPEN_OPTIONS else f"{name}=***" if name in _HIDDEN_OPTIONS else "***"


def why_no_url(error: Exception) -> str:
    """What is wrong with a URL. The error itself may quote a password: what stands before a stray `/` is its port."""
    if "schemes" in str(error):
        return "it has to begin with redis://, rediss:// or unix://"
    if isinstance(error, ValueError) and "connection URL" not in str(error):
        return "its host or port cannot be read (in a user or password @ is written as %40, : as %3A and / as %2F)"
    return "an option of it is unknown, or has no value that it can have"


def why_unreachable(error: BaseException) -> str:
    """Why there is no connection, or no reply on it."""
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
    """What may be wrong if the first connection to a URL fails."""
    if url.startswith("rediss:") and "Timeout connecting" in said:
        return " rediss:// asks for TLS: does the server speak it?"
    if url.startswith("redis:") and ("closed" in said or "reset" in said):
        return " Does the server want TLS (rediss://)?"
    return ""


def why_refused(error: BaseException, command: Sequence[Any] = ()) -> str:
    """Why Redis refused a command; if a right is missing, which one."""
    said = str(error)
    if not command or not (isinstance(error, exceptions.NoPermissionError) or "ACL failure" in said):
        return said
    inner = _INNER_COMMAND.search(said)
    name = inner[1] if inner else str(command[0]).lower()
    rights = [f"+{name}", *sorted({_pattern(each) for each in _touched(command)})]
    return f"{said} (the user's ACL needs {' '.join(rights)})"


def _touched(command: Sequence[Any]) -> list[str]:
    """The keys of a command as `~KEY`, its channels as `&CHANNEL`."""
    name, *arguments = command
    if name in _ON_CHANNELS:
        return [f"&{_text(channel)}" for channel in (arguments[:1] if name == "PUBLISH" else arguments)]
    if name in _ON_NOTHING:
        return []
    if name in _ON_KEYS:
        keys = arguments
    elif name == "EVAL":
        # Scripts make the names of arq's keys themselves.
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
    """The ACL pattern for all keys of the kind: of any job, tenant or worker."""
    pattern = re.sub(r"\{[^}]*\}", "*", touched)
    return _OF_ONE.sub(r"\1*", pattern)


def _text(name: Any) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)
