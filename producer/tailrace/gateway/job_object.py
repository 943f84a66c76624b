"""The public form of a job, and of its answer."""

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from tailrace import Answer, FinishReason, JobState, JobStatus, Verdict
from tailrace.field_docs import describe_fields


class Public(BaseModel):
    """An object of the public API."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, json_schema_extra=describe_fields)

    def to_json(self) -> bytes:
        """Return the object as JSON without the fields that have no value."""
        return self.model_dump_json(exclude_none=True).encode()


class Measures(Public):
    """How long the job took. A measure that is not known is left out."""

    queued_ms: int | None = None
    """The time from the enqueue to the beginning of the attempt that ended, in ms."""
    ttft_ms: int | None = None
    """The time from the call of the provider to its first token, in ms."""
    duration_ms: int | None = None
    """The time from the beginning of the attempt to its ending, in ms."""
    tokens_per_second: float | None = None
    """The output tokens divided by the time in seconds from the first token to the ending."""
    verdicts: dict[str, Verdict]
    """`good`, `warn` or `bad` for each measure, by its name. The gateway's settings have the thresholds."""


class ToolCallObject(Public):
    """A tool call of the answer."""

    call_id: str | None = None
    """The provider's id of the call, to which the tool's result refers."""
    name: str | None = None
    """The name of the tool."""
    arguments: str
    """The arguments, as JSON that the model wrote."""


class UsageObject(Public):
    """The tokens as the provider counted them. A count that it did not report is left out."""

    input_tokens: int | None = None
    """Tokens of the messages. OpenAI's count includes cached tokens, Anthropic's does not."""
    output_tokens: int | None = None
    """Tokens of the answer, including those of the reasoning."""
    cached_input_tokens: int | None = None
    """Tokens that the provider read from its cache, at a lower price."""
    cache_write_input_tokens: int | None = None
    """Tokens that the provider wrote to its cache for later requests, at a higher price."""
    reasoning_tokens: int | None = None
    """Tokens of the reasoning."""


class AnswerObject(Public):
    """The whole answer of a job that has ended."""

    text: str
    """The text of the answer."""
    reasoning: str
    """The text of the model's reasoning."""
    refusal: str
    """The text with which the model declined."""
    tool_calls: list[ToolCallObject]
    """The tool calls, in the order of their index."""
    boxes: list[dict[str, Any]]
    """The bounding boxes, as `box` events."""
    citations: list[dict[str, Any]]
    """The citations, as `citation` events."""
    notices: list[dict[str, Any]]
    """The notices, as `notice` events."""
    usage: UsageObject | None = None
    """The tokens that the provider counted."""
    finish_reason: FinishReason | None = None
    """Why the provider stopped; only if the job completed."""
    complete: bool
    """False if Redis lost a part of the answer."""

    @classmethod
    def of(cls, answer: Answer) -> Self:
        """Describe an answer.

        Args:
            answer: The answer of a job that has ended.

        Returns:
            Its public form.
        """
        return cls(
            text=answer.text,
            reasoning=answer.reasoning,
            refusal=answer.refusal,
            tool_calls=[
                ToolCallObject(call_id=call.call_id, name=call.name, arguments=call.arguments)
                for call in answer.tool_calls
            ],
            boxes=[box.to_dict() for box in answer.boxes],
            citations=[citation.to_dict() for citation in answer.citations],
            notices=[notice.to_dict() for notice in answer.notices],
            usage=UsageObject.model_validate(answer.usage, from_attributes=True) if answer.usage else None,
            finish_reason=answer.finish_reason,
            complete=answer.complete,
        )


class JobObject(Public):
    """A job at one moment. A field that has no value is left out."""

    id: str
    """The id of the job."""
    state: JobState
    """The state of the job."""
    tenant: str
    """On whose behalf the job runs."""
    queue: str
    """The queue in which the job was enqueued."""
    provider: str
    """The provider that answered, or that the attempt called first; before an attempt, the provider of the request."""
    model: str
    """The model of that provider."""
    queued_at: int
    """The time of the enqueue, in Unix ms; 0 if it is not known."""
    cursor: str
    """The id of the last event of the stream."""
    conversation: str | None = None
    """The conversation that the job belongs to."""
    labels: dict[str, str] | None = None
    """The labels that the job was enqueued with."""
    position: int | None = None
    """The place of the job in its queue: 1 for the job that is claimed next. Only while the job is due and waits."""
    attempt: int | None = None
    """The number of the attempt that runs, from 1. Only while one runs."""
    regenerated_from: str | None = None
    """The id of the job whose request this job runs again."""
    regenerated_as: list[str] | None = None
    """The ids of the jobs that run the request of this job again, oldest first."""
    timing: Measures | None = None
    """How long the job took, once it has ended."""
    code: str | None = None
    """Why the job failed: one of the failure codes. Only if it failed."""
    message: str | None = None
    """Why the job failed, in words. Only if it failed."""

    @classmethod
    def of(cls, status: JobStatus, **more: Any) -> Self:
        """Describe a job. The worker that runs it is left out: clients learn no names of hosts.

        Args:
            status: The status of the job.
            **more: Fields of a class that has more of them.

        Returns:
            Its public form.
        """
        return cls(
            id=status.job_id,
            state=status.state,
            tenant=status.tenant,
            queue=status.queue,
            provider=status.provider,
            model=status.model,
            queued_at=status.queued_at,
            cursor=str(status.cursor),
            conversation=status.conversation,
            labels=dict(status.labels) or None,
            position=status.position,
            attempt=status.attempt,
            regenerated_from=status.regenerated_from,
            regenerated_as=list(status.regenerated_as) or None,
            timing=Measures.model_validate(status.timing, from_attributes=True) if status.timing else None,
            code=status.code,
            message=status.message,
            **more,
        )


class WholeJobObject(JobObject):
    """A job, with its answer once it has ended."""

    answer: AnswerObject | None = None
    """The whole answer, once the job has ended."""


class NewJobObject(JobObject):
    """A job that was enqueued, and the URLs with which a browser reads and cancels it.

    The URLs are paths on the gateway's host. If there are API keys, each has a short-lived `token`, because an
    `EventSource` cannot set headers.
    """

    events_url: str
    """The URL of the job's events, as server-sent events."""
    cancel_url: str
    """The URL to which a `POST` cancels the job."""
    stream_url: str | None = None
    """The URL of the events of the job's conversation, later jobs included. Left out without a conversation, and if its
    id is not allowed in a path."""
    stop_url: str | None = None
    """The URL to which a `POST` stops the conversation. Left out as `stream_url` is."""
    expires_at: int | None = None
    """When the tokens of the URLs expire, in Unix seconds. Left out if the URLs need no token."""


class JobList(Public):
    """Jobs, the newest first."""

    jobs: list[JobObject]
    """The jobs."""


class ConversationObject(Public):
    """A conversation."""

    id: str
    """The id of the conversation."""
    active: JobObject | None = None
    """The active job. Left out if there is none."""
    jobs: list[JobObject]
    """The recent jobs, the newest first."""


class Outcome(Public):
    """What a request to stop did."""

    outcome: str
    """`cancelled` if the job had not started and is over now; `requested` if its worker stops it within 100 ms; `ended`
    if the job had ended before; `idle` if the conversation had no active job."""
