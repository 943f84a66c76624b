"""`tailrace tail` at a terminal. The worker is the test itself: it appends to the stream what a worker would."""

import re
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

import pytest

from tailrace import GenerationRequest, Job, JobState, Settings, Tailrace
from tailrace.broker.client import Broker
from tailrace.events import (
    Cancelled,
    Citation,
    Completed,
    Delta,
    Failed,
    Notice,
    Reasoning,
    Refusal,
    Started,
    StreamEvent,
    ToolCall,
)
from tailrace.protocol.entries import encode
from tailrace.protocol.keys import Keys
from tailrace_worker.processes.valkey import EmbeddedBroker
from tests.support.eventually import eventually
from tests.support.terminal import at_terminal

pytestmark = pytest.mark.process

SHELL = """\
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
child = os.fork()
if not child:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.executable, [sys.executable, "-m", "tailrace.cli", *sys.argv[1:]])
while os.WIFSTOPPED(status := os.waitpid(child, os.WUNTRACED)[1]):
    os.tcsetpgrp(0, os.getpid())
    print("stopped")
    assert input() == "fg"
    os.tcsetpgrp(0, child)
    os.kill(child, signal.SIGCONT)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""What a shell does about the one job that it runs: Ctrl-Z, and `fg` to go on."""

Say: TypeAlias = Callable[..., Awaitable[None]]

COMPLETED = Completed(at=2, finish_reason="stop", output_tokens=12, ttft_ms=80, tokens_per_second=9)
TEXT = """\
# The mill

Water turns the *wheel*, and leaves by the **tailrace**.

1. It comes
1. It goes
   > as water does

```python
def turn(wheel):
    return wheel
```

| part | of |
| --- | --- |
| wheel | mill |

The end.
"""
SHOWN = """\
                The mill

Water turns the wheel, and leaves by the
tailrace.

 1. It comes
 2. It goes
    ▌ as water does

def turn(wheel):
    return wheel

 part   of
 ───────────
 wheel  mill

The end.

completed: stop (12 tokens out, first
token after 80 ms, 9 tokens/s)
"""


@pytest.fixture(autouse=True)
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command finds the test's server and prefix where it looks for them."""
    monkeypatch.setenv("TAILRACE_REDIS_URL", settings.redis_url)
    monkeypatch.setenv("TAILRACE_PREFIX", settings.prefix)


@pytest.fixture
def say(broker: Broker, settings: Settings) -> Say:
    """Appends events to a job's stream, as attempt 1, and rings."""
    keys = Keys(settings.prefix)

    async def say(job: Job, *events: StreamEvent) -> None:
        for event in events:
            seq = await broker.call("XLEN", keys.events(job.id)) + 1
            await broker.call("XADD", keys.events(job.id), f"1-{seq}", *encode(event))
        await broker.call("PUBLISH", keys.bell(job.id), "")

    return say


@pytest.fixture
async def job(tailrace: Tailrace) -> Job:
    return await enqueued(tailrace)


async def enqueued(tailrace: Tailrace, prompt: str = "Hi") -> Job:
    return await tailrace.enqueue(
        GenerationRequest.model_validate(
            {
                "provider": "openai",
                "model": "m",
                "messages": [{"role": "user", "content": prompt}],
                "max_output_tokens": 100,
            }
        )
    )


def started() -> Started:
    return Started(at=round(time.time() * 1000), attempt=1, provider="openai", model="m", worker="w")


def deltas(text: str, length: int = 5) -> Iterable[Delta]:
    return [Delta(text=text[at : at + length]) for at in range(0, len(text), length)]


async def test_the_answer_is_drawn_as_markdown(job: Job, say: Say) -> None:
    async with at_terminal("tail", job.id, columns=40) as terminal:
        await say(job, started(), *deltas(TEXT), COMPLETED)
        assert await terminal.ended() == 0
        assert terminal.screen.text == SHOWN


async def test_a_terminal_size_of_0_in_the_environment_is_ignored(job: Job, say: Say) -> None:
    async with at_terminal("tail", job.id, columns=40, variables={"COLUMNS": "0", "LINES": "0"}) as terminal:
        await say(job, started(), Delta(text="one"))
        await terminal.shows(lambda text: re.search(r"^one\n~1 tokens", text) is not None)
        await say(job, Delta(text=TEXT.removeprefix("# The mill")), COMPLETED)
        assert await terminal.ended() == 0
        assert terminal.screen.text.startswith("one\n\nWater turns the wheel, and leaves by the\ntailrace.\n")


async def test_the_open_part_is_drawn_as_it_grows_and_nothing_is_printed_twice(job: Job, say: Say) -> None:
    async with at_terminal("tail", job.id, columns=40) as terminal:
        await terminal.shows("queued")
        await say(job, started())
        await terminal.shows("openai m")
        begun = 0
        for words in ("Water turns", "leaves by", "It goes", "as wat", "    return wh", "wheel", "The e"):
            end = TEXT.index(words, begun) + len(words)
            await say(job, *deltas(TEXT[begun:end]))
            begun = end
            await terminal.shows(words)
        await say(job, *deltas(TEXT[begun:]))
        await say(job, COMPLETED)
        assert await terminal.ended() == 0
        assert terminal.screen.text == SHOWN


async def test_fenced_code_is_coloured_while_it_is_open(job: Job, say: Say) -> None:
    async with at_terminal("tail", job.id) as terminal:
        await say(job, started(), Delta(text="```python\ndef turn(wheel):\n    return wheel"))
        await terminal.shows("return wheel")
        assert "\x1b[94mreturn\x1b[0m wheel" in terminal.screen.written


async def test_an_open_block_that_is_higher_than_the_terminal_shows_its_end(job: Job, say: Say) -> None:
    async with at_terminal("tail", job.id, lines=10) as terminal:
        await say(job, started(), Delta(text="```\n"), *[Delta(text=f"line {n}\n") for n in range(100)])
        text = await terminal.shows("line 99")
        assert text.splitlines()[-9:-1] == [f"line {n}" for n in range(92, 100)]
        assert "line 91" not in text
        await say(job, Delta(text="```\n"), COMPLETED)
        assert await terminal.ended() == 0
        assert terminal.screen.text.splitlines()[:100] == [f"line {n}" for n in range(100)]


async def test_unchanged_lines_are_not_written_again(job: Job, say: Say) -> None:
    async with at_terminal("tail", job.id) as terminal:
        await say(job, started(), Delta(text="".join(f"line {n}  \n" for n in range(10))))
        await terminal.shows("line 9\n~")
        await terminal.shows(lambda text: " tokens/s" in text)
        assert terminal.screen.written.count("line 3") == 1


async def test_the_name_of_the_model_is_drawn_on_one_line_without_control_characters(job: Job, say: Say) -> None:
    async with at_terminal("tail", job.id) as terminal:
        await say(job, Started(at=1, attempt=1, provider="openai", model="a\x1b[2J\nb", worker="w"))
        await terminal.shows("openai a␛[2J b")


async def test_a_logged_warning_is_printed_above_the_drawn_lines(
    job: Job, say: Say, broker: Broker, settings: Settings
) -> None:
    async with at_terminal("tail", job.id, columns=200) as terminal:
        await say(job, started(), Delta(text="one"))
        await terminal.shows("one\n~")
        await broker.call("XADD", Keys(settings.prefix).events(job.id), "1-4", "nonsense", "")
        await say(job, Delta(text=" two"))
        text = await terminal.shows("one two\n~")
        assert re.match(r"skipped entry 1-4 of job .*\none two\n~", text)


async def test_the_status_line_shows_the_tokens_and_their_share_of_the_limit(job: Job, say: Say) -> None:
    async with at_terminal("tail", job.id) as terminal:
        await say(job, started(), Delta(text="x" * 120))
        status = (await terminal.shows("tokens")).splitlines()[-1]
        assert status.startswith("~30 tokens · ")
        assert status.endswith("━━━─────── ~30% of 100")


async def test_thinking_tool_calls_refusals_and_notices_are_drawn_apart_from_the_answer(job: Job, say: Say) -> None:
    async with at_terminal("tail", job.id) as terminal:
        await say(
            job,
            started(),
            Reasoning(text="Let me\nthink."),
            Notice(code="fallback_taken", message="another\nmodel"),
            Delta(text="Yes"),
            Reasoning(text="", signature="signed"),
            Delta(text="."),
            ToolCall(index=0, call_id="c1", name="look_up", arguments='{"word":'),
            ToolCall(index=0, arguments=' "mill"}'),
            ToolCall(index=1, call_id="c2", name="stop"),
            Refusal(text="I will not."),
            Failed(at=2, code="content_blocked", message="guard"),
        )
        assert await terminal.ended() == 1
        assert terminal.screen.text == (
            "Let me\nfallback_taken: another model\nthink.\n\nYes.\n\n"
            '→ look_up {"word": "mill"}\n\n→ stop\n\nI will not.\n\n'
            "failed: content_blocked: guard\n"
        )
        assert "\x1b[2;3mLet me\x1b[0m" in terminal.screen.written


async def test_the_sources_of_an_answer_are_listed_below_it(job: Job, say: Say) -> None:
    mill = Citation(source="web", start=0, end=5, url="https://mill.example/tailrace", title="The mill")
    async with at_terminal("tail", job.id, columns=60) as terminal:
        await say(job, started(), Delta(text="Water "), mill, Delta(text="leaves."), mill)
        await say(job, Citation(source="document", source_index=0), COMPLETED)
        assert await terminal.ended() == 0
        assert terminal.screen.text.startswith(
            "Water leaves.\n\nSources\n 1. The mill: https://mill.example/tailrace\n 2. document 1\n\ncompleted: stop"
        )


async def test_a_new_attempt_says_that_the_text_above_is_void(
    job: Job, say: Say, broker: Broker, settings: Settings
) -> None:
    async with at_terminal("tail", job.id) as terminal:
        await say(job, started(), Delta(text="Old"))
        await terminal.shows("Old")
        again = Started(at=2, attempt=2, provider="openai", model="m", worker="w", reason="worker_lost")
        events: tuple[StreamEvent, ...] = (again, Delta(text="New"), COMPLETED)
        for seq, event in enumerate(events, 4):
            await broker.call("XADD", Keys(settings.prefix).events(job.id), f"2-{seq}", *encode(event))
        assert await terminal.ended() == 0
        old, void, _, new, *_ = terminal.screen.text.splitlines()
        assert (old, new) == ("Old", "New")
        assert void == "attempt 2 begins (worker_lost): the text before this line is void"


async def test_a_gap_is_shown(job: Job, say: Say, broker: Broker, settings: Settings) -> None:
    await say(job, started(), Delta(text="one"))
    await broker.call("XADD", Keys(settings.prefix).events(job.id), "1-9", *encode(COMPLETED))
    async with at_terminal("tail", job.id) as terminal:
        assert await terminal.ended() == 0
        assert "gap: Redis lost the events between 1-3 and 1-9" in terminal.screen.text


@pytest.mark.parametrize("form", [(), ("--raw",)])
async def test_control_characters_of_the_model_never_reach_the_terminal(
    form: tuple[str, ...], job: Job, say: Say
) -> None:
    evil = "a\x1b]0;title\x07b\x1b[2Jc\x9bd\x08\r\x00e\x7f"
    async with at_terminal("tail", *form, job.id) as terminal:
        await say(
            job,
            Started(at=1, attempt=1, provider="openai", model=evil, worker="w"),
            Reasoning(text=evil),
            ToolCall(index=0, name=evil, arguments=evil),
            Notice(code="evil", message=evil),
            Refusal(text=evil),
            Delta(text=f"{evil}\n\n```{evil}\n{evil}\n```\n[{evil}](http://x/{evil}) &#27;[2J"),
            Failed(at=2, code="evil", message=evil),
        )
        # A sequence that the display itself does not use would fail in the screen of the test.
        assert await terminal.ended() == 1
        assert "a␛]0;title␇b␛[2Jc�d␈␀e␡" in terminal.screen.text


async def test_a_terminal_of_twenty_columns_shows_all_words(job: Job, say: Say) -> None:
    async with at_terminal("tail", job.id, columns=20, lines=5) as terminal:
        await say(job, started(), *deltas(TEXT))
        await terminal.shows("The end.")
        assert terminal.screen.text.splitlines()[-1].startswith("~")
        await say(job, COMPLETED)
        assert await terminal.ended() == 0
        assert all(len(line) <= 20 for line in terminal.screen.text.splitlines())
        assert "    return wheel" in terminal.screen.text


async def test_wide_characters_are_wrapped_at_the_right_column(job: Job, say: Say) -> None:
    async with at_terminal("tail", job.id, columns=21) as terminal:
        await say(job, started(), Delta(text="水車" * 10))
        # Wrapped by the terminal itself, a line would be there that is not known of, and would stay.
        await terminal.shows("tokens")
        await say(job, Delta(text="水車" * 10), COMPLETED)
        assert await terminal.ended() == 0
        assert terminal.screen.text.split("\n\n")[0] == "\n".join(["水車" * 5] * 4)


async def test_the_display_follows_the_size_of_the_terminal(job: Job, say: Say) -> None:
    async with at_terminal("tail", job.id, columns=30) as terminal:
        await say(job, started(), Delta(text="word " * 5))
        await terminal.shows("tokens")
        terminal.resize(columns=60, lines=24)
        await say(job, Delta(text="word " * 5), COMPLETED)
        assert await terminal.ended() == 0
        assert terminal.screen.text.startswith("word " * 9 + "word\n\ncompleted")


async def test_ctrl_c_asks_and_l_leaves_and_prints_how_to_read_on(job: Job, say: Say) -> None:
    async with at_terminal("tail", job.id, columns=40) as terminal:
        await say(job, started(), Delta(text="one"))
        await terminal.shows("one")
        terminal.press("\x03")
        await terminal.shows("(r)ead on, (l)eave or (c)ancel the job")
        await say(job, Delta(text=" two"))
        await terminal.shows("one two")
        terminal.press("l")
        assert await terminal.ended() == 130
        assert terminal.screen.text.startswith("one two\nThe job goes on.")
        # Broken by nobody but the terminal itself, it can be copied.
        assert f"tailrace tail --after 1-4 {job.id}\r\n" in terminal.screen.written
    assert (await job.status()).state is JobState.RUNNING


@pytest.mark.parametrize("form", [(), ("--raw",), ("--json",)])
async def test_ctrl_c_asks_and_c_cancels(
    form: tuple[str, ...], job: Job, say: Say, broker: Broker, settings: Settings
) -> None:
    async with at_terminal("tail", *form, job.id) as terminal:
        # Too early to be an answer.
        terminal.press("l")
        await say(job, started(), Delta(text="one"))
        await terminal.shows("one")
        terminal.press("\x03")
        await terminal.shows("(c)ancel the job?")
        terminal.press("c")
        await eventually(lambda: is_cancelled(job, broker, settings))
        await say(job, Cancelled(at=2, reason="as it was asked"))
        assert await terminal.ended() == 1
        assert "as it was asked" in terminal.screen.text


async def is_cancelled(job: Job, broker: Broker, settings: Settings) -> bool:
    return bool(await broker.call("GET", Keys(settings.prefix).cancel(job.id)) == b"cancelled with Ctrl-C")


@pytest.mark.parametrize("key", ["\n", "r", "x", "\x1b[C", "cat"], ids=["return", "r", "stray", "arrow", "pasted"])
async def test_any_key_that_is_not_offered_reads_on(
    key: str, job: Job, say: Say, broker: Broker, settings: Settings
) -> None:
    async with at_terminal("tail", job.id) as terminal:
        await say(job, started(), Delta(text="one"))
        await terminal.shows("one")
        terminal.press("\x03")
        await terminal.shows("(c)ancel the job?")
        terminal.press(key)
        await terminal.shows("~1 tokens")
        assert not await is_cancelled(job, broker, settings)
        # The next Ctrl-C asks again.
        terminal.press("\x03")
        await terminal.shows("(c)ancel the job?")
        terminal.press("\n")
        await say(job, COMPLETED)
        assert await terminal.ended() == 0


async def test_a_second_ctrl_c_leaves_at_once(job: Job, say: Say) -> None:
    async with at_terminal("tail", job.id) as terminal:
        await say(job, started(), Delta(text="one"))
        await terminal.shows("one")
        terminal.press("\x03")
        await terminal.shows("(l)eave")
        terminal.press("\x03")
        assert await terminal.ended() == 130
        assert "The job goes on." in terminal.screen.text
        assert terminal.screen.written.rindex("\x1b[?25h") > terminal.screen.written.rindex("\x1b[?25l")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM])
async def test_a_signal_leaves_the_terminal_as_it_was(number: signal.Signals, job: Job, say: Say) -> None:
    async with at_terminal("tail", job.id) as terminal:
        before = terminal.modes
        await say(job, started(), Delta(text="one"))
        await terminal.shows("one")
        assert terminal.modes != before
        terminal.signal(number)
        assert await terminal.ended() == 128 + number
        assert terminal.modes == before
        assert terminal.screen.text.startswith("one\nThe job goes on.")
        assert terminal.screen.written.rindex("\x1b[?25h") > terminal.screen.written.rindex("\x1b[?25l")


async def test_ctrl_z_gives_the_terminal_back_to_the_shell_until_fg(job: Job, say: Say) -> None:
    async with at_terminal("tail", job.id, program=SHELL) as terminal:
        before = terminal.modes
        await say(job, started(), Delta(text="one"))
        await terminal.shows("one\n~")
        for word in ("two", "three"):
            terminal.press("\x1a")
            text = await terminal.shows(lambda text: text.endswith("stopped\n"))
            assert "tokens" not in text
            assert terminal.modes == before
            assert terminal.screen.written.rindex("\x1b[?25h") > terminal.screen.written.rindex("\x1b[?25l")
            await say(job, Delta(text=f" {word}"))
            terminal.press("fg\n")
            await terminal.shows(f"{word}\n~")
            assert terminal.screen.written.rindex("\x1b[?25l") > terminal.screen.written.rindex("\x1b[?25h")
        terminal.press("\x03")
        await terminal.shows("(l)eave")
        terminal.press("l")
        assert await terminal.ended() == 130
        assert terminal.modes == before
        assert re.search(r"^one two three\nThe job goes on", terminal.screen.text, re.MULTILINE)


async def test_an_ending_removes_the_question(job: Job, say: Say) -> None:
    async with at_terminal("tail", job.id) as terminal:
        await say(job, started(), Delta(text="one"))
        await terminal.shows("one")
        terminal.press("\x03")
        await terminal.shows("(l)eave")
        await say(job, COMPLETED)
        assert await terminal.ended() == 0
        assert "(l)eave" not in terminal.screen.text


async def test_several_answers_grow_side_by_side(tailrace: Tailrace, say: Say) -> None:
    jobs = [await enqueued(tailrace) for _ in range(2)]
    async with at_terminal("tail", *(job.id for job in jobs)) as terminal:
        for number, job in enumerate(jobs):
            await say(job, started(), *[Delta(text=f"job {number} line {n}\n\n") for n in range(100)])
        text = await terminal.shows(lambda text: "job 0 line 99" in text and "job 1 line 99" in text)
        assert any("job 0 line 99" in line and "job 1 line 99" in line for line in text.splitlines())
        assert "line 9 " not in text
        await say(jobs[0], COMPLETED)
        await say(jobs[1], Failed(at=2, code="too_long", message="no"))
        assert await terminal.ended() == 1
        first, second = terminal.screen.text.split(f"{jobs[1].id[:6]} m: Hi ─")
        assert first.startswith(f"{jobs[0].id[:6]} m: Hi ─")
        for number, (shown, ending) in enumerate([(first, "completed: stop"), (second, "failed: too_long: no")]):
            assert [line for line in shown.splitlines() if line.startswith("job")] == [
                f"job {number} line {n}" for n in range(100)
            ]
            assert ending in shown


async def test_panels_are_titled_with_the_model_and_the_beginning_of_the_prompt(tailrace: Tailrace, say: Say) -> None:
    jobs = [await enqueued(tailrace, prompt=prompt) for prompt in ("Why does water\nrun down?", "How? " * 100)]
    async with at_terminal("tail", *(job.id for job in jobs), columns=100) as terminal:
        text = await terminal.shows(lambda text: text.count("queued") == len(jobs))
        assert f"─ {jobs[0].id[:6]} m: Why does water run down? ─" in text
        assert f"─ {jobs[1].id[:6]} m: How? How? How?" in text
        assert "… ─" in text


async def test_the_answers_so_far_are_in_the_scrollback_after_a_reader_leaves(tailrace: Tailrace, say: Say) -> None:
    jobs = [await enqueued(tailrace) for _ in range(2)]
    async with at_terminal("tail", *(job.id for job in jobs)) as terminal:
        for job in jobs:
            await say(job, started(), Delta(text=f"so far of {job.id}"))
        await terminal.shows(lambda text: text.count("so far of") == len(jobs))
        terminal.press("\x03")
        await terminal.shows("(l)eave")
        terminal.press("l")
        assert await terminal.ended() == 130
        assert all(f"\nso far of {job.id}\n" in terminal.screen.text for job in jobs)


async def test_losing_redis_prints_how_to_read_on_all_jobs(settings: Settings) -> None:
    with EmbeddedBroker() as broker:
        variables = {"TAILRACE_REDIS_URL": broker.url, "TAILRACE_RECONNECT_SECONDS": "0"}
        async with Tailrace.connect(broker.url, prefix=settings.prefix) as tailrace:
            jobs = [(await enqueued(tailrace)).id for _ in range(2)]
            async with at_terminal("tail", *jobs, columns=200, variables=variables) as terminal:
                await terminal.shows(lambda text: text.count("queued") == len(jobs))
                broker.kill()
                assert await terminal.ended() == 1
                text = terminal.screen.text
                assert f"The jobs go on. To read on: tailrace tail {' '.join(jobs)}\n" in text
                assert text.count("Redis cannot be reached") >= 1
                assert "tail(" not in text


async def test_the_number_of_jobs_without_a_panel_is_shown(tailrace: Tailrace, say: Say) -> None:
    jobs = [await enqueued(tailrace) for _ in range(5)]
    async with at_terminal("tail", *(job.id for job in jobs), columns=20, lines=10) as terminal:
        await terminal.shows("and 3 more")
        # Those that have ended make room.
        for job in jobs[:3]:
            await say(job, COMPLETED)
        await terminal.shows(jobs[4].id[:6])
        terminal.press("\x03")
        await terminal.shows("(r)ead on, (l)eave")
        terminal.press("l")
        assert await terminal.ended() == 130
        assert "The jobs go on." in terminal.screen.text


async def test_enqueue_with_wait_draws_the_answer_as_tail_does(tailrace: Tailrace, say: Say) -> None:
    arguments = ("enqueue", "Hi", "--provider", "openai", "--model", "m", "--wait")
    async with at_terminal(*arguments, columns=40) as terminal:
        job_id = (await terminal.shows("queued")).split()[0]
        await say(tailrace.job(job_id), started(), *deltas(TEXT), COMPLETED)
        assert await terminal.ended() == 0
        assert terminal.screen.text == f"{job_id}\n{SHOWN}"


@pytest.mark.parametrize(
    "variables",
    [{"TERM": "dumb"}, {"PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}],
)
async def test_a_terminal_that_cannot_draw_gets_plain_lines(variables: dict[str, str], job: Job, say: Say) -> None:
    async with at_terminal("tail", job.id, variables=variables) as terminal:
        await say(job, started(), Delta(text="**one**\n水"), COMPLETED)
        assert await terminal.ended() == 0
        assert terminal.screen.text.startswith("**one**\n")


async def test_a_status_is_drawn_in_place_until_the_job_has_ended(job: Job, say: Say) -> None:
    async with at_terminal("status", "--watch", "--", job.id) as terminal:
        await terminal.shows("position 1 in its queue")
        await say(job, Started(at=1, attempt=1, provider="openai", model="m", worker="w"))
        shown = await terminal.shows("attempt 1")
        assert "position" not in shown
        await say(job, COMPLETED)
        assert await terminal.ended() == 0
        first, second, *rest = terminal.screen.text.rstrip().splitlines()
    assert first == "completed, at 1-3 of its stream"
    assert second.startswith("openai m, queued ")
    assert rest == ["first token after 80 ms (good), 9.0 tokens/s (bad)"]


async def test_a_list_keeps_each_job_on_one_line(tailrace: Tailrace, job: Job) -> None:
    await tailrace.enqueue(await job.request(), labels={"title": "x" * 200})
    async with at_terminal("list") as terminal:
        assert await terminal.ended() == 0
        lines = terminal.screen.text.rstrip().splitlines()
    assert len(lines) == 3
    assert lines[1].endswith("xxx…")
