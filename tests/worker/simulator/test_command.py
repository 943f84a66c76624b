import argparse
import os
import signal
import subprocess
import sys

import pytest

from tailrace.cli import main
from tailrace.errors import InfrastructureError
from tailrace_worker.commands import simulate
from tailrace_worker.simulator import Scenario, Simulator, moderations

RUN = """
import argparse, sys
from tailrace_worker.commands import simulate
parser = argparse.ArgumentParser()
simulate.add_arguments(parser)
sys.exit(simulate.run(parser.parse_args()))
"""


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    simulate.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.mark.process
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_where_it_listens_and_ends_cleanly_on_a_signal(ending: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUN, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            process.send_signal(ending)
            _, errors = process.communicate(timeout=10)
        finally:
            process.kill()
    assert line.startswith("simulator on http://127.0.0.1:")
    assert errors == ""
    assert process.returncode == os.EX_OK


async def test_a_port_in_use_is_one_clear_error(simulator: Simulator) -> None:
    port = int(simulator.url.rpartition(":")[2])
    with pytest.raises(InfrastructureError, match=rf"^Cannot listen on 127\.0\.0\.1:{port}: .*in use"):
        async with Simulator(port=port):
            pass


def test_a_host_of_another_machine_is_one_clear_error() -> None:
    with pytest.raises(InfrastructureError, match=r"^Cannot listen on 192\.0\.2\.1:0: "):
        simulate.run(parsed("--host", "192.0.2.1", "--port", "0"))


def test_a_port_that_is_none_is_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parsed("--port", "70000")
    assert caught.value.code == 2
    assert "'70000' is not a port" in capsys.readouterr().err


@pytest.mark.process
def test_the_command_is_cheap_to_import() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, tailrace_worker.commands.simulate; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"aiohttp", "uvloop", "openai", "anthropic"} & set(loaded)


def test_the_help_tells_of_every_option_of_a_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["simulate", "--help"])
    told = capsys.readouterr().out
    assert moderations.PATH in told
    options = [*Scenario.model_fields, *moderations.Options.model_fields]
    assert [option for option in options if f"{option}=" not in told] == []
