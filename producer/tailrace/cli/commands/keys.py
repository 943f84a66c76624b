"""`tailrace keys`: creates, lists and revokes the API keys of the gateways."""

import argparse
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from tailrace import KeyLimits, Tailrace
from tailrace.access.key_store import KeyStore, key_store
from tailrace.cli import event_loop
from tailrace.cli.display.table import table
from tailrace.cli.options import add_json, add_redis_url
from tailrace.settings import variable_of

SUMMARY = "create, list and revoke the API keys of gateways"

_HEAD: Final = ("KEY", "TENANT", "CREATED", "LIMITS", "NAME")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="create a key and print it; it cannot be shown again later")
    create.add_argument("--tenant", required=True, help="the tenant whose jobs the key may use")
    create.add_argument("--name", default="", help="what the key is for, in words")
    create.add_argument(
        "--max-running", metavar="N", type=_count, help="how many jobs of the tenant may run or wait at a time"
    )
    create.add_argument("--max-queued", metavar="N", type=_count, help="how many jobs of the tenant may wait at a time")
    create.add_argument(
        "--per-second", metavar="R", type=_count, help="how many requests a second may be made with the key"
    )
    listing = actions.add_parser("list", help="list the keys, the oldest first")
    add_json(listing, "each key as one line of JSON")
    revoke = actions.add_parser("revoke", help="revoke a key: gateways refuse it within three seconds")
    revoke.add_argument("key", metavar="KEY", help="the id of the key, as 'tailrace keys list' shows it")
    for action in (create, listing, revoke):
        add_redis_url(action)
    parser.epilog = (
        "Clients of 'tailrace serve' need a key once there is one. The keys are in\n"
        "Redis, or in the file that TAILRACE_GATEWAY_KEYS_FILE names. Only their hashes\n"
        "are stored. 'tailrace keys create --help' has the limits of a key, each of\n"
        "which is 1 to 100,000.\n\n"
        "example: %(prog)s create --tenant acme --max-running 20 --per-second 50"
    )


def run(arguments: argparse.Namespace) -> int:
    """Return 0, or 1 if there is no such key."""
    match arguments.action:
        case "create":
            return event_loop.run(_create(arguments))
        case "list":
            return event_loop.run(_list(arguments))
        case _:
            return event_loop.run(_revoke(arguments))


async def _create(arguments: argparse.Namespace) -> int:
    limits = KeyLimits(
        running=arguments.max_running, queued=arguments.max_queued, requests_per_second=arguments.per_second
    )
    async with _store(arguments) as store:
        key, token = await store.create(tenant=arguments.tenant, name=arguments.name, limits=limits)
    # Only the token goes to stdout, for scripts.
    print(f"key {key.id} of tenant {key.tenant}; it is shown only now, so keep it:", file=sys.stderr, flush=True)
    print(token, flush=True)
    return 0


async def _list(arguments: argparse.Namespace) -> int:
    async with _store(arguments) as store:
        keys = await store.read_all()
    if arguments.json:
        for key in keys:
            print(key.model_dump_json(exclude={"sha256"}, exclude_none=True))
    else:
        rows = [(key.id, key.tenant, _day(key.created_at), str(key.limits) or "-", key.name or "-") for key in keys]
        print("\n".join(table(_HEAD, rows)) if rows else "no keys")
    return 0


async def _revoke(arguments: argparse.Namespace) -> int:
    async with _store(arguments) as store:
        if await store.revoke(arguments.key):
            print(f"revoked {arguments.key}", flush=True)
            return 0
    print(f"There is no key {arguments.key!r}. `tailrace keys list` shows all keys.", file=sys.stderr)
    return 1


@asynccontextmanager
async def _store(arguments: argparse.Namespace) -> AsyncGenerator[KeyStore]:
    """Yield the store of the keys. A file needs no Redis."""
    tailrace = Tailrace.connect(arguments.redis_url)
    if named := os.environ.get(variable_of("gateway_keys_file")):
        yield key_store(tailrace.access, Path(named))
    else:
        async with tailrace:
            yield key_store(tailrace.access, None)


def _day(created_at: int) -> str:
    return datetime.fromtimestamp(created_at).astimezone().strftime("%Y-%m-%d")


def _count(written: str) -> int:
    if not written.isdecimal() or not 1 <= int(written) <= 100_000:
        raise argparse.ArgumentTypeError(f"{written!r} is not a number from 1 to 100,000")
    return int(written)
