"""The verbs without a worker, on the real server. The tests append to the stream what a worker would."""

import asyncio
import io
import json
import os
import re
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tailrace import GenerationRequest, Job, JobState, Settings, Tailrace
from tailrace.broker.client import Broker
from tailrace.cli import main
from tailrace.cli.display.plain import PlainText
from tailrace.cli.following import follow
from tailrace.events import Cancelled, Completed, Delta, Failed, Reasoning, Started, StreamEvent
from tailrace.protocol.entries import encode
from tailrace.protocol.keys import Keys

Say = Callable[..., Awaitable[None]]
Capture = pytest.CaptureFixture[str]

MODEL = ("--provider", "openai", "--model", "m")
STARTED = Started(at=1, attempt=1, provider="openai", model="m", worker="w")
COMPLETED = Completed(at=2, finish_reason="stop")


@pytest.fixture(autouse=True)
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command finds the test's server and prefix where it looks for them."""
    monkeypatch.setenv("TAILRACE_REDIS_URL", settings.redis_url)
    monkeypatch.setenv("TAILRACE_PREFIX", settings.prefix)
    # Output that is never buffered would hide a flush that is missing.
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


@pytest.fixture
def say(broker: Broker, settings: Settings) -> Say:
    """Appends events to a job's stream, as attempt 1."""

    async def say(job: Job, *events: StreamEvent) -> None:
        stream = Keys(settings.prefix).events(job.id)
        for event in events:
            seq = await broker.call("XLEN", stream) + 1
            await broker.call("XADD", stream, f"1-{seq}", *encode(event))

    return say


@pytest.fixture
async def job(tailrace: Tailrace) -> Job:
    return await tailrace.enqueue(
        GenerationRequest.model_validate(
            {"provider": "openai", "model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        )
    )


async def command(verb: str, *arguments: str, job: Job | None = None) -> int:
    """Runs a verb as the installed script does, in a thread: it opens an event loop of its own."""

    def run() -> int:
        with pytest.raises(SystemExit) as left:
            sys.exit(main([verb, *arguments, *(("--", job.id) if job else ())]))
        return int(left.value.code or 0)

    async with asyncio.timeout(20):
        return await asyncio.to_thread(run)


async def process(*arguments: str, stdout: int = PIPE) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tailrace.cli", *arguments, stdout=stdout, stderr=PIPE
    )


async def test_enqueue_prints_the_id_of_the_job_and_nothing_else(tailrace: Tailrace, capsys: Capture) -> None:
    assert await command("enqueue", "Hi", *MODEL, "--queue", "slow", "--tenant", "acme") == 0
    out, err = capsys.readouterr()
    status = await tailrace.job(out.removesuffix("\n")).status()
    assert (status.state, status.queue, status.tenant) == (JobState.QUEUED, "slow", "acme")
    assert err == ""


async def test_enqueue_prints_the_id_as_json(tailrace: Tailrace, capsys: Capture) -> None:
    assert await command("enqueue", "Hi", *MODEL, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert (await tailrace.job(printed.pop("job_id")).status()).model == "m"
    assert printed == {}


@pytest.mark.parametrize("source", ["file", "stdin"])
async def test_enqueue_takes_a_whole_request(
    source: str,
    broker: Broker,
    settings: Settings,
    capsys: Capture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = {
        "provider": "openai",
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "timeouts": {"total_seconds": 9},
    }
    (tmp_path / "request.json").write_text(json.dumps(asked), encoding="utf-8")
    with (tmp_path / "request.json").open(encoding="utf-8") as opened:
        monkeypatch.setattr("sys.stdin", opened)
        name = str(tmp_path / "request.json") if source == "file" else "-"
        assert await command("enqueue", "--request", name, "--tenant", "acme") == 0
    record = Keys(settings.prefix).record(capsys.readouterr().out.strip())
    stored, tenant = await broker.call("HMGET", record, "request", "tenant")
    assert GenerationRequest.from_json(stored) == GenerationRequest.model_validate(asked)
    assert tenant == b"acme"


async def test_the_options_of_enqueue_make_the_request(broker: Broker, settings: Settings, capsys: Capture) -> None:
    options = ("--system", "Be brief.", "--max-output-tokens", "9", "--temperature", "0.5", "--defer-seconds", "60")
    assert await command("enqueue", "Hi", *MODEL, *options) == 0
    job_id = capsys.readouterr().out.strip()
    keys = Keys(settings.prefix)
    request = GenerationRequest.from_json(await broker.call("HGET", keys.record(job_id), "request"))
    assert request.messages == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert (request.max_output_tokens, request.temperature) == (9, 0.5)
    assert float(await broker.call("ZSCORE", keys.queue("default"), job_id)) > time.time() * 1000 + 30_000


@pytest.mark.parametrize("arguments", [(), ("-",)])
async def test_the_prompt_comes_from_stdin(
    arguments: tuple[str, ...],
    broker: Broker,
    settings: Settings,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("Grüße\n".encode())))
    assert await command("enqueue", *MODEL, *arguments) == 0
    stored = await broker.call("HGET", Keys(settings.prefix).record(capsys.readouterr().out.strip()), "request")
    assert GenerationRequest.from_json(stored).messages == [{"role": "user", "content": "Grüße\n"}]


async def test_the_prompt_comes_from_a_file(
    tmp_path: Path, broker: Broker, settings: Settings, capsys: Capture
) -> None:
    (tmp_path / "prompt.txt").write_bytes("Grüße".encode())
    assert await command("enqueue", *MODEL, "--file", str(tmp_path / "prompt.txt")) == 0
    stored = await broker.call("HGET", Keys(settings.prefix).record(capsys.readouterr().out.strip()), "request")
    assert GenerationRequest.from_json(stored).messages == [{"role": "user", "content": "Grüße"}]


async def test_images_go_with_the_prompt(tmp_path: Path, broker: Broker, settings: Settings, capsys: Capture) -> None:
    (tmp_path / "mill").write_bytes(b"GIF89a")
    images = ("--image", str(tmp_path / "mill"), "--image", "https://example.org/mill.png")
    assert await command("enqueue", "What is it?", *MODEL, *images) == 0
    stored = await broker.call("HGET", Keys(settings.prefix).record(capsys.readouterr().out.strip()), "request")
    assert GenerationRequest.from_json(stored).messages == [
        {
            "role": "user",
            "content": [
                {"type": "image", "data": "R0lGODlh", "media_type": "image/gif"},
                {"type": "image", "url": "https://example.org/mill.png"},
                {"type": "text", "text": "What is it?"},
            ],
        }
    ]


async def test_a_prompt_that_is_not_utf_8_exits_with_2(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Gr\xfc\xdfe")))
    assert await command("enqueue", *MODEL) == 2
    assert "not UTF-8 at byte 2" in capsys.readouterr().err


@pytest.mark.parametrize("terminal", [True, False])
async def test_a_missing_prompt_exits_with_2(terminal: bool, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO()) if terminal else None
    monkeypatch.setattr(sys, "stdin", stdin)
    if stdin:
        monkeypatch.setattr(stdin, "isatty", lambda: True)
    assert await command("enqueue", *MODEL) == 2
    assert "There is no prompt" in capsys.readouterr().err


async def test_a_request_over_the_limit_exits_with_2(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_MAX_REQUEST_BYTES", "1024")
    assert await command("enqueue", "x" * 1_024, *MODEL) == 2
    assert "TAILRACE_MAX_REQUEST_BYTES" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [("--tenant", "a b"), ("--queue", "a:b"), ("--defer-seconds", "-1"), ("--defer-seconds", "nan")],
)
async def test_an_invalid_value_exits_with_2(option: str, value: str, capsys: Capture) -> None:
    assert await command("enqueue", "Hi", *MODEL, f"{option}={value}") == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert option.removeprefix("--").replace("-", "_") in err


async def test_an_idempotency_key_prints_the_first_job_again_and_refuses_another_request(capsys: Capture) -> None:
    for _ in range(2):
        assert await command("enqueue", "Hi", *MODEL, "--idempotency-key", "order-7") == 0
    first, again = capsys.readouterr().out.splitlines()
    assert first == again
    assert await command("enqueue", "Ho", *MODEL, "--idempotency-key", "order-7") == 1
    assert "'order-7' before, for another request" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        (COMPLETED, (0, "completed: stop")),
        (Failed(at=2, code="total_timeout", message="600 s"), (1, "failed: total_timeout: 600 s")),
        (Cancelled(at=2, reason="enough"), (1, "cancelled: enough")),
    ],
)
async def test_tail_prints_the_text_and_its_exit_code_depends_on_the_ending(
    ending: StreamEvent, told: tuple[int, str], job: Job, say: Say, capsys: Capture
) -> None:
    await say(job, STARTED, Reasoning(text="hm\n"), Delta(text="one "), Delta(text="two\n"), ending)
    code, line = told
    assert await command("tail", job=job) == code
    assert capsys.readouterr() == ("one two\n", f"hm\n{line}\n")


async def test_tail_prints_each_event_as_a_line_of_json(job: Job, say: Say, capsys: Capture) -> None:
    await say(job, STARTED, Delta(text="one"), COMPLETED)
    assert await command("tail", "--json", job=job) == 0
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["id"], line["type"]) for line in lines] == [
        ("0-1", "queued"),
        ("1-2", "started"),
        ("1-3", "delta"),
        ("1-4", "completed"),
    ]
    assert lines[2]["text"] == "one"
    assert lines[3]["finish_reason"] == "stop"
    assert err == ""


async def test_the_tail_of_several_jobs_names_them_and_exits_with_0_only_if_all_completed(
    tailrace: Tailrace, job: Job, say: Say, capsys: Capture
) -> None:
    other = await job.regenerate()
    await say(job, STARTED, Delta(text="one\ntwo"), COMPLETED)
    await say(other, STARTED, Delta(text="1\n"), COMPLETED)
    assert await command("tail", other.id, job.id, job=job) == 0
    out, err = capsys.readouterr()
    first, second = job.id[:6], other.id[:6]
    assert sorted(out.splitlines()) == sorted([f"{first} | one", f"{first} | two", f"{second} | 1"])
    assert sorted(err.splitlines()) == sorted([f"{first} | completed: stop", f"{second} | completed: stop"])

    failed = await job.regenerate()
    await say(failed, STARTED, Failed(at=2, code="too_long", message="no"))
    assert await command("tail", "--json", failed.id, job=job) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["job_id"] for line in lines if line["type"] == "failed"} == {failed.id}
    assert [line["type"] for line in lines if line["job_id"] == job.id] == ["queued", "started", "delta", "completed"]


@pytest.mark.process
async def test_an_unknown_job_does_not_end_the_tails_of_other_jobs(job: Job, say: Say) -> None:
    tail = await process("tail", "hX3vJ0c2TqK9bWm5yRzA1g", "--", job.id)
    assert tail.stderr is not None
    async with asyncio.timeout(20):
        assert (await tail.stderr.readline()).startswith(b"Job 'hX3vJ0c2TqK9bWm5yRzA1g' has no stream")
        await say(job, STARTED, Delta(text="one\n"), COMPLETED)
        out, _ = await tail.communicate()
    assert (tail.returncode, out) == (1, f"{job.id[:6]} | one\n".encode())


async def test_a_gap_is_shown_in_every_output_format(
    job: Job, say: Say, broker: Broker, settings: Settings, capsys: Capture
) -> None:
    await say(job, STARTED)
    await broker.call("XADD", Keys(settings.prefix).events(job.id), "1-9", *encode(COMPLETED))
    assert await command("tail", job=job) == 0
    assert capsys.readouterr().err == "gap: Redis lost the events between 1-2 and 1-9\ncompleted: stop\n"
    assert await command("tail", "--json", job=job) == 0
    gap = json.loads(capsys.readouterr().out.splitlines()[2])
    assert gap == {"type": "gap", "id": "1-8", "after": "1-2", "before": "1-9"}


@pytest.mark.process
async def test_raw_text_is_printed_byte_for_byte_whatever_the_locale(
    job: Job, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    text = "**水**\x1b[2J\x00\r\n\x9b"
    await say(job, Delta(text=text), COMPLETED)
    tail = await process("tail", "--raw", "--", job.id)
    async with asyncio.timeout(20):
        assert await tail.communicate() == (text.encode(), b"\ncompleted: stop\n")


@pytest.mark.process
async def test_a_foreign_entry_in_a_stream_is_skipped_with_one_warning(
    job: Job, say: Say, broker: Broker, settings: Settings
) -> None:
    await say(job, STARTED)
    stream = Keys(settings.prefix).events(job.id)
    for fields in (("nonsense", b"\xff"), ("type", "delta"), ("type", "delta", "text", b"\xff")):
        await broker.call("XADD", stream, f"1-{await broker.call('XLEN', stream) + 1}", *fields)
    await say(job, Delta(text="one\n"), COMPLETED)
    tail = await process("tail", "--", job.id)
    async with asyncio.timeout(20):
        out, err = await tail.communicate()
    assert (tail.returncode, out) == (0, b"one\n")
    skipped, ending = err.splitlines()
    assert skipped.startswith(b"skipped entry 1-3 of job")
    assert ending == b"completed: stop"


async def test_tail_begins_after_a_cursor(job: Job, say: Say, capsys: Capture) -> None:
    await say(job, STARTED, Delta(text="one "), Delta(text="two\n"), COMPLETED)
    assert await command("tail", "--after", "1-3", job=job) == 0
    assert capsys.readouterr().out == "two\n"


async def test_a_tail_from_after_the_ending_prints_how_the_job_ended(job: Job, say: Say, capsys: Capture) -> None:
    await say(job, STARTED, Failed(at=2, code="internal_error", message="oops"))
    assert await command("tail", "--after", "1-3", job=job) == 1
    assert capsys.readouterr() == ("", "failed: no event follows 1-3\n")


async def test_a_cursor_ahead_of_the_stream_exits_with_2(job: Job, capsys: Capture) -> None:
    assert await command("tail", "--after", "7-7", job=job) == 2
    assert "'7-7' is ahead" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["tail", "cancel", "status"])
async def test_an_unknown_job_is_one_line_and_exits_with_1(verb: str, capsys: Capture) -> None:
    assert await command(verb, "hX3vJ0c2TqK9bWm5yRzA1g") == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"tailrace {verb}: Job 'hX3vJ0c2TqK9bWm5yRzA1g' has no stream")


@pytest.mark.process
async def test_text_is_printed_as_it_arrives(job: Job, say: Say) -> None:
    tail = await process("tail", "--", job.id)
    assert tail.stdout is not None
    async with asyncio.timeout(20):
        for text in ("one ", "two "):
            await say(job, Delta(text=text))
            assert await tail.stdout.readexactly(4) == text.encode()
        await say(job, COMPLETED)
        assert await tail.communicate() == (b"", b"\ncompleted: stop\n")
    assert tail.returncode == 0


@pytest.mark.process
async def test_enqueue_with_wait_prints_the_answer(tailrace: Tailrace, say: Say) -> None:
    waiting = await process("enqueue", "Hi", *MODEL, "--wait")
    assert waiting.stderr is not None
    async with asyncio.timeout(20):
        job = tailrace.job((await waiting.stderr.readline()).decode().strip())
        await say(job, STARTED, Delta(text="Hello.\n"), COMPLETED)
        assert await waiting.communicate() == (b"Hello.\n", b"completed: stop\n")
    assert waiting.returncode == 0


@pytest.mark.process
async def test_enqueue_with_wait_and_json_prints_the_id_and_then_the_events(tailrace: Tailrace, say: Say) -> None:
    waiting = await process("enqueue", "Hi", *MODEL, "--wait", "--json")
    assert waiting.stdout is not None
    async with asyncio.timeout(20):
        job = tailrace.job(json.loads(await waiting.stdout.readline())["job_id"])
        await say(job, COMPLETED)
        out, err = await waiting.communicate()
    assert [json.loads(line)["type"] for line in out.splitlines()] == ["queued", "completed"]
    assert err == b""


@pytest.mark.process
async def test_a_closed_output_pipe_ends_the_tail_without_an_error(job: Job, say: Say) -> None:
    reading, writing = os.pipe()
    tail = await process("tail", "--", job.id, stdout=writing)
    os.close(writing)
    async with asyncio.timeout(20):
        await say(job, Delta(text="one"))
        assert await asyncio.to_thread(os.read, reading, 3) == b"one"
        os.close(reading)
        await say(job, Delta(text="two"))
        _, err = await tail.communicate()
    assert (tail.returncode, err) == (141, b"")
    assert (await job.status()).state is JobState.RUNNING


@pytest.mark.process
@pytest.mark.parametrize("arguments", [("status", "--"), ("tail", "--json", "--"), ("--help",)])
async def test_a_pipe_that_was_closed_from_the_start_is_no_error_either(
    arguments: tuple[str, ...], job: Job, say: Say
) -> None:
    await say(job, COMPLETED)
    reading, writing = os.pipe()
    os.close(reading)
    verb = await process(*arguments, job.id, stdout=writing)
    os.close(writing)
    async with asyncio.timeout(20):
        _, err = await verb.communicate()
    assert (verb.returncode, err) == (141, b"")


@pytest.mark.process
@pytest.mark.parametrize(
    ("form", "closed", "out"), [((), "1", b""), (("--raw",), "1", b""), ((), "2", b"one"), ((), "1 2", b"")]
)
async def test_if_stdout_or_stderr_is_closed_the_other_still_gets_its_output(
    form: tuple[str, ...], closed: str, out: bytes, job: Job, say: Say
) -> None:
    await say(job, Reasoning(text="hm"), Delta(text="one"), COMPLETED)
    close = "exec " + " ".join(f"{number}>&-" for number in closed.split()) + '; exec "$@"'
    tail = await asyncio.create_subprocess_exec(
        *("sh", "-c", close, "sh", sys.executable, "-m", "tailrace.cli", "tail", *form, "--", job.id),
        stdout=PIPE,
        stderr=PIPE,
    )
    async with asyncio.timeout(20):
        told = await tail.communicate()
    assert (tail.returncode, *told) == (0, out, b"" if "2" in closed else b"hm\n\ncompleted: stop\n")


@pytest.mark.process
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
@pytest.mark.parametrize("arguments", [("status", "--"), ("tail", "--"), ("tail", "--json", "--"), ("--help",)])
async def test_a_full_disk_is_reported_on_one_line(arguments: tuple[str, ...], job: Job, say: Say) -> None:
    await say(job, Delta(text="one"), COMPLETED)
    with Path("/dev/full").open("wb") as full:  # noqa: ASYNC230  # No disk: it is full at once.
        verb = await process(*arguments, job.id, stdout=full.fileno())
    async with asyncio.timeout(20):
        _, err = await verb.communicate()
    assert (verb.returncode, err) == (1, b"tailrace: The output cannot be written: No space left on device.\n")


@pytest.mark.process
async def test_an_interrupted_tail_prints_how_to_read_on_and_the_job_goes_on(
    job: Job, say: Say, settings: Settings, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAILRACE_REDIS_URL")
    tail = await process("tail", "--redis-url", settings.redis_url, "--", job.id)
    assert tail.stdout is not None
    async with asyncio.timeout(20):
        await say(job, STARTED, Delta(text="one\n"))
        await tail.stdout.readexactly(4)
        tail.send_signal(signal.SIGINT)
        _, err = await tail.communicate()
    assert tail.returncode == 130
    told = re.fullmatch(r"The job goes on\. To read on: tailrace (.+)\n", err.decode())
    assert told
    await say(job, Delta(text="two\n"), COMPLETED)
    assert await command(*told[1].split()) == 0
    assert capsys.readouterr().out == "two\n"


class Slow(PlainText):
    """A display that has much to show at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.is_behind = asyncio.Event()

    async def draw(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.is_behind.set()
            await asyncio.Event().wait()


async def test_ctrl_c_after_the_last_ending_does_not_print_how_to_read_on(job: Job, say: Say, capsys: Capture) -> None:
    await say(job, STARTED, COMPLETED)
    display = Slow()
    following = asyncio.create_task(follow([job], display))
    async with asyncio.timeout(20):
        await display.is_behind.wait()
        following.cancel()
        await asyncio.wait({following})
    assert following.cancelled()
    assert capsys.readouterr().err == "completed: stop\n"


@pytest.mark.process
async def test_a_character_that_the_terminal_cannot_show_is_replaced(
    job: Job, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    await say(job, Delta(text="é\n"), COMPLETED)
    tail = await process("tail", "--", job.id)
    async with asyncio.timeout(20):
        assert await tail.communicate() == (b"?\n", b"completed: stop\n")


async def test_cancel_prints_its_outcome(job: Job, capsys: Capture) -> None:
    assert await command("cancel", "--reason", "enough", job=job) == 0
    assert await command("cancel", "--json", job=job) == 0
    cancelled, ended = capsys.readouterr().out.splitlines()
    assert cancelled.startswith("cancelled: ")
    assert json.loads(ended) == {"job_id": job.id, "outcome": "ended"}
    ending = (await job.answer()).ending
    assert isinstance(ending, Cancelled)
    assert ending.reason == "enough"


async def test_cancel_of_a_running_job_prints_that_it_was_requested(job: Job, say: Say, capsys: Capture) -> None:
    await say(job, STARTED)
    assert await command("cancel", job=job) == 0
    assert capsys.readouterr().out == "requested: its worker stops it within 100 ms\n"


async def test_status_shows_how_far_a_job_is(job: Job, say: Say, capsys: Capture) -> None:
    await say(job, STARTED)
    assert await command("status", job=job) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "running, at 1-2 of its stream"
    assert re.fullmatch(
        r"openai m, queued \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+00:00 in 'default' for 'default'", second
    )
    assert third == "attempt 1, on worker w"


async def test_status_shows_why_a_job_failed(job: Job, say: Say, capsys: Capture) -> None:
    failed = Failed(at=2, code="idle_timeout", message="It fell\nsilent.", provider="anthropic", model="second")
    await say(job, STARTED, failed)
    assert await command("status", job=job) == 0
    _, second, third = capsys.readouterr().out.splitlines()
    assert second.startswith("anthropic second, queued ")
    assert third == "idle_timeout: It fell silent."
    assert await command("status", "--json", job=job) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {"code": "idle_timeout", "message": "It fell\nsilent."}.items() <= printed.items()
    assert "worker" not in printed


async def test_status_prints_no_control_characters_of_a_record(
    job: Job, broker: Broker, settings: Settings, capsys: Capture
) -> None:
    evil = "\x1b[2J\n\u202e"
    await broker.call("HSET", Keys(settings.prefix).record(job.id), "model", evil, "tenant", evil)
    assert await command("status", job=job) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[1].startswith("openai ␛[2J �, queued ")
    assert "\u202e" not in out


@pytest.mark.parametrize("queued_at", ["soon", "-1", "1e3", "9" * 400, b"\xff", "\u0661"])
async def test_a_corrupt_record_causes_no_traceback(
    queued_at: str | bytes, job: Job, broker: Broker, settings: Settings, capsys: Capture
) -> None:
    rubbish = {"queued_at": queued_at, "tenant": b"\xff", "queue": b"\xfe", "model": b"\xff\n", "request": b"{\xff"}
    fields = (part for field in rubbish.items() for part in field)
    await broker.call("HSET", Keys(settings.prefix).record(job.id), *fields)
    assert await command("status", job=job) == 0
    assert capsys.readouterr().out == "queued, at 0-1 of its stream\n"
    assert await command("regenerate", job=job) == 2
    assert "enqueued without a request" in capsys.readouterr().err
    assert await command("cancel", job=job) == 0
    assert (await job.status()).state == "cancelled"


async def test_status_of_a_job_without_a_record_shows_only_what_the_stream_says(
    job: Job, broker: Broker, settings: Settings, capsys: Capture
) -> None:
    await broker.call("DEL", Keys(settings.prefix).record(job.id))
    assert await command("status", job=job) == 0
    assert capsys.readouterr().out == "queued, at 0-1 of its stream\n"


async def test_status_shows_the_timing_and_the_regenerated_jobs(job: Job, say: Say, capsys: Capture) -> None:
    first = await job.regenerate()
    second = await first.regenerate()
    ending = replace(COMPLETED, queued_ms=7, ttft_ms=80, duration_ms=12_000, tokens_per_second=19.9)
    await say(first, STARTED, ending)
    assert await command("status", job=first) == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        "queued 7 ms, first token after 80 ms (good), 19.9 tokens/s (bad), ran 12,000 ms (warn)",
        f"regenerated from {job.id}",
        f"regenerated as {second.id}",
    ]
    assert await command("status", "--json", job=first) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["regenerated_from"], printed["regenerated_as"]) == (job.id, [second.id])
    assert printed["timing"] == {
        "queued_ms": 7,
        "ttft_ms": 80,
        "duration_ms": 12_000,
        "tokens_per_second": 19.9,
        "verdicts": {"ttft_ms": "good", "tokens_per_second": "bad", "duration_ms": "warn"},
    }


async def test_status_as_json_has_the_fields_of_the_status(job: Job, capsys: Capture) -> None:
    assert await command("status", "--json", job=job) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed.pop("queued_at") > 1_700_000_000_000
    assert printed == {
        "job_id": job.id,
        "state": "queued",
        "tenant": "default",
        "queue": "default",
        "provider": "openai",
        "model": "m",
        "cursor": "0-1",
        "regenerated_as": [],
        "position": 1,
        "labels": {},
    }


async def test_enqueue_takes_a_conversation_and_labels(tailrace: Tailrace, capsys: Capture) -> None:
    chat = ("--conversation", "chat-42")
    assert await command("enqueue", "Hi", *MODEL, *chat, "--label", "user=ada", "--label", "title=a=b c") == 0
    job = tailrace.job(capsys.readouterr().out.strip())
    assert await command("status", job=job) == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        "position 1 in its queue",
        "conversation 'chat-42'",
        "user=ada, title=a=b c",
    ]
    assert await command("enqueue", "Hi", *MODEL, *chat) == 1
    assert f"has an active job, '{job.id}'" in capsys.readouterr().err
    assert await command("enqueue", "Hi", *MODEL, *chat, "--if-active", "interrupt") == 0
    assert (await job.status()).state == "cancelled"
    assert await command("regenerate", job=job) == 1
    assert await command("regenerate", "--if-active", "interrupt", job=job) == 0


async def test_a_label_without_a_value_is_misuse(capsys: Capture) -> None:
    assert await command("enqueue", "Hi", *MODEL, "--label", "user") == 2
    assert "--label: 'user' has no value. Write NAME=VALUE." in capsys.readouterr().err


async def test_list_shows_the_newest_jobs(tailrace: Tailrace, job: Job, say: Say, capsys: Capture) -> None:
    request = await job.request()
    await say(job, STARTED)
    chat = await tailrace.enqueue(request, conversation="chat\n42", labels={"user": "ada"})
    assert await command("list") == 0
    head, newest, oldest = capsys.readouterr().out.splitlines()
    assert head.split() == ["JOB", "STATE", "AGE", "MODEL", "CONVERSATION", "LABELS"]
    assert re.fullmatch(rf"{chat.id}  queued \(2\)  \d+ s  openai m  chat 42       user=ada", newest)
    assert re.fullmatch(rf"{job.id}  running     \d+ s  openai m  -             -", oldest)
    assert await command("list", "--conversation", "chat\n42", "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["job_id"] == chat.id
    assert await command("list", "--state", "running", "--limit", "1") == 0
    assert capsys.readouterr().out.splitlines()[1].startswith(job.id)
    assert await command("list", "--tenant", "acme") == 0
    assert capsys.readouterr().out == "no jobs\n"


async def test_delete_removes_jobs_and_names_those_that_are_not_there(
    tailrace: Tailrace, job: Job, capsys: Capture
) -> None:
    other = await job.regenerate()
    assert await command("delete", "hX3vJ0c2TqK9bWm5yRzA1g", other.id, job=job) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == [f"deleted {other.id}", f"deleted {job.id}"]
    assert err.startswith("Job 'hX3vJ0c2TqK9bWm5yRzA1g' has no stream")
    assert await tailrace.jobs() == []


@pytest.mark.process
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
async def test_status_is_told_again_when_it_changes_until_the_job_has_ended(
    form: tuple[str, ...], job: Job, say: Say
) -> None:
    watch = await process("status", "--watch", *form, "--", job.id)
    assert watch.stdout is not None
    async with asyncio.timeout(20):
        assert b"queued" in await watch.stdout.readline()
        await say(job, STARTED)
        while b"running" not in await watch.stdout.readline():
            pass
        await say(job, COMPLETED)
        out, err = await watch.communicate()
    assert b"completed" in out
    assert (watch.returncode, err) == (0, b"")


@pytest.mark.process
async def test_the_watch_of_the_fleet_goes_on_until_it_is_left(tailrace: Tailrace, job: Job) -> None:
    watch = await process("status", "--watch")
    assert watch.stdout is not None
    async with asyncio.timeout(20):
        for queue in (b"default", b"other"):
            while not (await watch.stdout.readline()).startswith(queue):
                pass
            await tailrace.enqueue(await job.request(), queue="other")
        watch.send_signal(signal.SIGINT)
        _, err = await watch.communicate()
    assert (watch.returncode, err) == (130, b"")
