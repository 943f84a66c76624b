"""What is shown for Flask and Django streams, resumes, answers with a status, and notices who leaves."""

import importlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tailrace import Settings, sync
from tailrace.events import Delta
from tests.support.blocking_stream import BlockingStream
from tests.support.eventually import until
from tests.support.handwritten import ENDING, REQUEST, STARTED

ROOT = Path(__file__).parents[2]


@pytest.fixture
def job(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[sync.Job]:
    monkeypatch.setenv("TAILRACE_REDIS_URL", settings.redis_url)
    monkeypatch.setenv("TAILRACE_PREFIX", settings.prefix)
    with sync.Tailrace.connect() as client:
        yield client.enqueue(REQUEST)


@pytest.fixture
def stream(settings: Settings, job: sync.Job) -> Iterator[BlockingStream]:
    stream = BlockingStream(settings, job.id)
    yield stream
    stream.close()


@pytest.fixture
def flask(job: sync.Job) -> Iterator[Any]:
    pytest.importorskip("flask")
    spec = importlib.util.spec_from_file_location("flask_app", ROOT / "examples" / "flask_app.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module.app.test_client()
    module.tailrace.close()


@pytest.fixture
def django_view(job: sync.Job) -> Iterator[Any]:
    pytest.importorskip("django")
    settings: Any = importlib.import_module("django.conf").settings
    if not settings.configured:
        settings.configure()
    page = (ROOT / "docs" / "guides" / "sync.md").read_text()
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "django" in block)
    with sync.Tailrace.connect() as client:
        namespace: dict[str, Any] = {"client": client}
        exec(code, namespace)  # noqa: S102
        requests: Any = importlib.import_module("django.test").RequestFactory()

        def view(job_id: str, after: str) -> Any:
            return namespace["events"](requests.get("/", headers={"Last-Event-ID": after}), job_id)

        yield view


def finish(stream: BlockingStream) -> None:
    stream.append(("1-2", STARTED), ("1-3", Delta(text="Hello")), ("1-4", ENDING))


def ids(body: str) -> list[str]:
    return re.findall(r"^id: (\S+)\nevent: \S+\ndata: {.*}\n$", body, re.MULTILINE)


def test_flask_streams_a_job_that_it_enqueued(flask: Any, settings: Settings) -> None:
    enqueued = flask.post("/jobs", json={"question": "Why do mills have tailraces?"})
    assert enqueued.status_code == 202
    stream = BlockingStream(settings, enqueued.json["job"])
    finish(stream)
    stream.close()
    response = flask.get(f"/jobs/{enqueued.json['job']}/events")
    assert response.mimetype == "text/event-stream"
    assert ids(response.text) == ["0-1", "1-2", "1-3", "1-4"]


def test_flask_resumes_a_stream_and_tells_by_a_status_what_is_wrong(
    flask: Any, job: sync.Job, stream: BlockingStream
) -> None:
    finish(stream)

    def get(after: str, job_id: str = job.id) -> Any:
        return flask.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": after})

    assert ids(get("1-2").text) == ["1-3", "1-4"]
    assert [get(after).status_code for after in ("1-4", "first", "9-9")] == [204, 400, 400]
    assert [get("0-0", job_id).status_code for job_id in ("x" * 22, "short")] == [404, 404]
    assert flask.post(f"/jobs/{job.id}/cancel").json == {"outcome": "ended"}


def test_flask_leaves_a_tail_whose_browser_is_gone(flask: Any, job: sync.Job, stream: BlockingStream) -> None:
    response = flask.get(f"/jobs/{job.id}/events")
    assert next(response.response).startswith(b"retry: ")
    assert ids(next(response.response).decode()) == ["0-1"]
    until(lambda: stream.listeners() == 1)
    response.close()
    until(lambda: stream.listeners() == 0)


def test_django_streams_resumes_and_tells_by_a_status_what_is_wrong(
    django_view: Any, job: sync.Job, stream: BlockingStream
) -> None:
    finish(stream)
    response = django_view(job.id, "0-1")
    assert ids(b"".join(response.streaming_content).decode()) == ["1-2", "1-3", "1-4"]
    assert [django_view(job.id, after).status_code for after in ("1-4", "first")] == [204, 400]
    with pytest.raises(importlib.import_module("django.http").Http404):
        django_view("x" * 22, "0-0")
