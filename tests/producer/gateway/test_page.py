"""The page's files: how they are served, and that those of others are what they say."""

import hashlib
import re
from pathlib import Path
from typing import Final

import httpx
import pytest
from fastapi import FastAPI

from tailrace import Settings, Tailrace
from tailrace.gateway import create_app
from tests.producer.gateway.conftest import KeyOf
from tests.support.gateways import ServedGateway, gateway_settings

PAGE: Final = Path(__file__).parents[3] / "producer" / "tailrace" / "gateway" / "page"


def addresses(html: str) -> list[str]:
    return re.findall(r'(?:src|href)="([^"#]+)"', html)


async def test_the_page_allows_itself_nothing_but_its_own_files(gateway: ServedGateway) -> None:
    response = await gateway.client.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
    assert policy.pop("default-src") == "'none'"
    assert {policy.pop(name) for name in ("script-src", "style-src", "font-src", "connect-src")} == {"'self'"}
    assert {policy.pop(name) for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert policy.pop("img-src") == "'self' data:"
    assert policy == {"require-trusted-types-for": "'script'", "trusted-types": "dompurify"}
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"


async def test_the_html_is_asked_for_again_and_not_sent_again(gateway: ServedGateway) -> None:
    response = await gateway.client.get("/")
    assert response.headers["cache-control"] == "no-cache"
    again = await gateway.client.get("/", headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await gateway.client.head("/")).headers["etag"] == response.headers["etag"]


async def test_all_files_of_the_page_are_there_and_are_kept_for_ever(gateway: ServedGateway) -> None:
    found = addresses((await gateway.client.get("/")).text)
    assert len(found) >= 6
    for address in found:
        assert address.startswith("page/")
        response = await gateway.client.get(f"/{address}")
        assert response.status_code == 200
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
        kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}[address.rpartition(".")[2]]
        assert response.headers["content-type"].startswith(kind)


async def test_a_file_of_another_version_is_served_and_not_kept(gateway: ServedGateway) -> None:
    response = await gateway.client.get("/page/0123456789abcdef/main.js")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["none.js", "index.html", "vendor/README.md", "%2e%2e/app.py", "vendor"])
async def test_nothing_else_is_served(gateway: ServedGateway, name: str) -> None:
    response = await gateway.client.get(f"/page/0123456789abcdef/{name}")
    assert response.status_code == 404


async def test_the_page_needs_no_key(gateway: ServedGateway, key_of: KeyOf) -> None:
    await key_of("acme")
    assert (await gateway.client.get("/v1/jobs")).status_code == 401
    assert (await gateway.client.get("/")).status_code == 200


async def test_the_page_works_where_the_gateway_is_mounted(settings: Settings, tailrace: Tailrace) -> None:
    service = FastAPI()
    service.mount("/llm", create_app(tailrace, gateway_settings(settings)))
    transport = httpx.ASGITransport(service)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", follow_redirects=True) as client:
        page = await client.get("/llm")
        assert page.url.path == "/llm/"
        for address in addresses(page.text):
            assert (await client.get(page.url.join(address))).status_code == 200


def test_no_module_of_the_page_names_a_foreign_host() -> None:
    for file in PAGE.glob("*.*"):
        for url in re.findall(r"https?://[\w.-]+", file.read_text(encoding="utf-8")):
            assert url == "http://www.w3.org", file.name


def test_the_files_of_others_are_unmodified_and_have_their_licences() -> None:
    vendor = PAGE / "vendor"
    table = re.findall(
        r"^\| `(.+?)` \| `(.+?)` \| ([\d.]+) \| `.+?` \| \[.+?\]\((.+?)\) \| `([0-9a-f]{64})` \|$",
        (vendor / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert {name for name, *_ in table} == {
        file.name for file in vendor.iterdir() if file.suffix not in {".LICENSE", ".md"}
    }
    for name, _, _, licence, digest in table:
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == digest
        assert len((vendor / licence).read_text(encoding="utf-8")) > 500


def test_the_page_is_small() -> None:
    assert sum(file.stat().st_size for file in PAGE.rglob("*") if file.is_file()) < 1_000_000
