"""Why Redis cannot be used is said in words that help, and hold no password and no prompt."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import exceptions

from tailrace import BrokerRefused, BrokerUnavailable, InvalidSettings
from tailrace.broker.causes import greeting_hint, why_refused, without_password
from tailrace.broker.client import Argument, Broker, open_redis, our_errors
from tailrace_worker.processes.valkey import EmbeddedBroker

CERTIFICATE: Final = Path(__file__).parents[2] / "support" / "localhost.pem"
SECRET: Final = "S3CRET"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("unix:///run/redis.sock?db=3", "unix:///run/redis.sock?db=3"),
        ("redis://ann:S3CRET@localhost:6379/0", "redis://ann:***@localhost:6379/0"),
        ("redis://:S3CRET@localhost", "redis://:***@localhost"),
        ("redis://S3CRET@localhost", "redis://***@localhost"),
        ("rediss://ann:a:S3CRET@b@localhost/1", "rediss://ann:***@localhost/1"),
        ("redis://ann:a/S3CRET@localhost", "redis://ann:***@localhost"),
        ("redis://ann:a?S3CRET@localhost", "redis://***"),
        ("redis://localhost/0?password=S3CRET&db=1", "redis://localhost/0?password=***&db=1"),
        ("redis://localhost/0?password=a@S3CRET", "redis://***"),
        ("redis://localhost/0?password=a&S3CRET", "redis://localhost/0?password=***&***"),
        ("redis://localhost/0?password=a&S3CRET=b", "redis://localhost/0?password=***&***"),
        ("localhost:6379", "localhost:6379"),
        ("ann:S3CRET@localhost", "***"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


@given(
    st.text(":@/?#&=%[] a", max_size=6),
    st.text(":@/?#&=%[] a", max_size=6),
    st.sampled_from(["redis://ann:{}@localhost:6379/0", "rediss://:{}@h", "redis://h/0?password={}"]),
)
def test_no_part_of_a_password_is_shown_whatever_is_in_it(before: str, after: str, form: str) -> None:
    url = form.format(f"{before}{SECRET}{after}{SECRET}")
    assert SECRET not in without_password(url)
    try:
        open_redis(url)
    except InvalidSettings as error:
        assert SECRET not in str(error)


@pytest.mark.parametrize("mark", ["/", "?", "#"])
def test_a_url_whose_host_may_be_a_part_of_a_password_is_refused(mark: str) -> None:
    with pytest.raises(InvalidSettings, match="%2F"):
        open_redis(f"redis://ann:a@{SECRET}{mark}b@localhost")


@pytest.mark.parametrize(
    "url", ["redis://localhost/0?password=a@b", "redis://localhost/0?username=a@b", "unix:///run/redis@home.sock"]
)
def test_a_url_in_which_an_at_sign_is_in_its_place_is_taken(url: str) -> None:
    open_redis(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("localhost:6379", "it must begin with redis://, rediss:// or unix://"),
        ("redis://localhost:port", "its host or port cannot be read"),
        ("redis://localhost?no_such_option=1", "one of its options is unknown"),
        ("redis://localhost?db=first", "one of its options is unknown, or has a value that is not allowed"),
    ],
)
def test_what_is_wrong_with_a_url_is_told(url: str, why: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        open_redis(url)
    assert why in str(caught.value)


def test_a_reply_that_does_not_come_is_told() -> None:
    with pytest.raises(BrokerUnavailable, match="cannot be reached: no reply in time"), our_errors():
        raise TimeoutError


@pytest.mark.parametrize(
    ("url", "said", "hint"),
    [
        ("rediss://localhost", " cannot be reached: Timeout connecting to server", "does the server support it?"),
        ("redis://localhost", " cannot be reached: Connection reset by peer", "Does the server require TLS"),
        ("redis://localhost", " cannot be reached: Connection closed by server", "Does the server require TLS"),
        ("redis://localhost", " cannot be reached: Timeout connecting to server", ""),
        ("rediss://localhost", " cannot be reached: Connection closed by server", ""),
    ],
)
def test_a_first_connection_that_fails_gets_a_hint_at_tls_if_that_may_be_why(url: str, said: str, hint: str) -> None:
    assert hint in greeting_hint(url, said)
    assert bool(greeting_hint(url, said)) is bool(hint)


async def greeting(url: str) -> str:
    broker = Broker(open_redis(url))
    try:
        with pytest.raises((BrokerUnavailable, BrokerRefused)) as caught:
            await broker.greet(url)
        return str(caught.value)
    finally:
        await broker.aclose()


@asynccontextmanager
async def listening(says: bytes = b"", *, tls: bool = False) -> AsyncGenerator[int]:
    """A server that answers everything alike, and hangs up where it has nothing to say."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while says and await reader.read(65_536):
            writer.write(says)
        writer.close()

    context = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(CERTIFICATE)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_the_cause_is_told_if_there_is_no_connection() -> None:
    assert "cannot be reached: Error " in await greeting("redis://127.0.0.1:1/0")
    assert "its host name is not known (DNS: " in await greeting("redis://nowhere.invalid/0")
    async with listening(tls=True) as port:
        assert "its TLS certificate is not trusted: " in await greeting(f"rediss://127.0.0.1:{port}")
        assert "Does the server require TLS (rediss://)?" in await greeting(f"redis://127.0.0.1:{port}")
    async with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        assert "the server that answers is not Redis" in await greeting(f"redis://127.0.0.1:{port}")
        assert "TLS failed: " in await greeting(f"rediss://127.0.0.1:{port}")
    async with listening(b"-LOADING Redis is loading the dataset in memory\r\n") as port:
        said = await greeting(f"redis://127.0.0.1:{port}")
        # To start another one would not help.
        assert said.endswith(f":{port} takes no commands now: Redis is loading the dataset in memory.")


@pytest.mark.redis
async def test_the_cause_is_told_if_the_password_is_wrong_or_missing() -> None:
    with EmbeddedBroker() as server:
        url = server.url.replace("//", f"//ann:{SECRET}@")
        said = await greeting(url)
        assert said.startswith("Redis at redis://ann:***@")
        assert "rejected the user or password: invalid username-password pair" in said
        broker = Broker(open_redis(server.url))
        await broker.call("CONFIG", "SET", "requirepass", SECRET)
        await broker.aclose()
        assert "Authentication required" in await greeting(server.url)


@pytest.fixture
async def restricted(own_broker: EmbeddedBroker) -> AsyncIterator[Broker]:
    """One who may use the job's keys, and not all commands."""
    broker = Broker(open_redis(own_broker.url))
    rules = ("~tailrace:*", "resetchannels", "+@all", "-xadd", "-subscribe")
    await broker.call("ACL", "SETUSER", "ann", "on", "nopass", *rules)
    restricted = Broker(open_redis(own_broker.url.replace("//", "//ann:any@")))
    yield restricted
    await restricted.aclose()
    await broker.aclose()


@pytest.mark.parametrize(
    ("command", "rights"),
    [
        (("XADD", "tailrace:{0123456789abcdef}:events", "*", "text", "a"), "+xadd ~tailrace:*:events"),
        (("SET", "arq:job:0123456789abcdef", 1), "+set ~arq:job:*"),
        (("MGET", "other:{a}:cancel", "other:{b}:cancel"), "+mget ~other:*:cancel"),
        (("XREAD", "COUNT", 1, "STREAMS", "other:{a}:events", 0), "+xread ~other:*:events"),
        (("EVAL", "redis.call('XADD', KEYS[1], '*', 'a', 1)", 1, "tailrace:endings"), "+xadd ~arq:* ~tailrace:endings"),
        (("EVAL", "return redis.call('SET', KEYS[1], 1)", 1, "other:queue:a"), "+eval ~arq:* ~other:queue:a"),
        (("PUBLISH", "tailrace:{a}:bell", ""), "+publish &tailrace:*:bell"),
    ],
    ids=["XADD", "SET", "MGET", "XREAD", "EVAL-command", "EVAL-key", "PUBLISH"],
)
async def test_a_missing_right_is_named_with_the_command_and_the_pattern_of_the_key(
    restricted: Broker, command: tuple[Argument, ...], rights: str
) -> None:
    for asking in (
        restricted.call(*command),
        restricted.pipeline(("PING",), command),
        restricted.transaction(("GET", "tailrace:any"), command),
    ):
        with pytest.raises(BrokerRefused) as caught:
            await asking
        assert f"(the user's ACL needs {rights})" in str(caught.value)


@pytest.mark.parametrize(
    ("command", "rights"),
    [
        (("SUBSCRIBE", "tailrace:{a}:bell", "other:{b}:bell"), "+subscribe &other:*:bell &tailrace:*:bell"),
        (("PUBLISH", "tailrace:{a}:bell", "said"), "+publish &tailrace:*:bell"),
        (("BLPOP", "tailrace:queue:a:bell", "tailrace:queue:b:bell", "1.5"), "+blpop ~tailrace:queue:a:bell ~tailrace"),
        (("XGROUP", "CREATE", "tailrace:endings", "mine", "$"), "+xgroup ~tailrace:endings"),
        (("XINFO", "GROUPS", "tailrace:endings"), "+xinfo ~tailrace:endings"),
        (("XREADGROUP", "GROUP", "g", "c", "STREAMS", "tailrace:endings", ">"), "+xreadgroup ~tailrace:endings"),
        (("XREAD", "STREAMS", "a:{x}:events", "b:{y}:events", "0-1", "0-2"), "+xread ~a:*:events ~b:*:events"),
        (("DEL", "arq:job:a", "tailrace:worker:a"), "+del ~arq:job:* ~tailrace:worker:*"),
        (("SET", "tailrace:throttle:openai:m", "1"), "+set ~tailrace:throttle:*"),
        (("SET", b"tailrace:idempotency:acme:1f", "1"), "+set ~tailrace:idempotency:*"),
        (("INFO", "server"), "+info"),
        (("WAITAOF", 1, 0, 100), "+waitaof"),
    ],
    ids=lambda value: value.partition(" ")[0] if isinstance(value, str) else "",
)
def test_the_rights_that_a_command_needs_are_told(command: tuple[Argument, ...], rights: str) -> None:
    said = why_refused(exceptions.NoPermissionError("no"), command)
    assert said.startswith(f"no (the user's ACL needs {rights}")
    assert said.count("~") + said.count("&") == rights.count("~") + rights.count("&")


def test_a_refusal_for_another_reason_names_no_rights() -> None:
    assert why_refused(exceptions.ResponseError("MISCONF no disk"), ("SET", "a", 1)) == "MISCONF no disk"


async def test_a_refused_transaction_quotes_no_prompt(own_broker: EmbeddedBroker) -> None:
    broker = Broker(open_redis(own_broker.url))
    await broker.call("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(BrokerRefused, match="maxmemory") as caught:
        await broker.transaction(("GET", "a"), ("SET", "a", "a prompt of somebody"))
    error: BaseException | None = caught.value
    while error is not None:
        assert "prompt" not in repr(error)
        error = error.__cause__ or error.__context__
    await broker.aclose()
