"""Streams answers from Flask as server-sent events. Run it with: flask --app examples/flask_app.py run"""

from collections.abc import Iterator

from flask import Flask, Response, abort, request

from tailrace import Event, GenerationRequest, InvalidCursor, InvalidJobId, JobNotFound, KeepAlive
from tailrace.encoders import KEEP_ALIVE, SseEncoder
from tailrace.sync import Tail, Tailrace

app = Flask(__name__)
tailrace = Tailrace.connect()  # each process of the server connects at its first call


@app.post("/jobs")
def enqueue() -> tuple[dict[str, str], int]:
    question = request.get_json()["question"]
    job = tailrace.enqueue(
        GenerationRequest(provider="openai", model="gpt-5-mini", messages=[{"role": "user", "content": question}])
    )
    return {"job": job.id}, 202


@app.get("/jobs/<job_id>/events")
def events(job_id: str) -> Response:
    after = request.headers.get("Last-Event-ID", "0-0")
    try:
        tail = tailrace.job(job_id).open_tail(after=after, keep_alive_seconds=15)
    except (InvalidJobId, JobNotFound):
        abort(404)
    except InvalidCursor:
        abort(400)
    if tail.at_end:
        return Response(status=204)
    return Response(frames(tail), mimetype="text/event-stream", headers={"Cache-Control": "no-cache, no-transform"})


def frames(tail: Tail[Event | KeepAlive]) -> Iterator[bytes]:
    encoder = SseEncoder()
    with tail:
        yield encoder.opening
        for event in tail:
            yield KEEP_ALIVE if isinstance(event, KeepAlive) else encoder.encode(event)


@app.post("/jobs/<job_id>/cancel")
def cancel(job_id: str) -> dict[str, str]:
    try:
        return {"outcome": tailrace.job(job_id).cancel("the user pressed stop")}
    except (InvalidJobId, JobNotFound):
        abort(404)
