"""The HTTP server: native routes, server-sent events, and the AI SDK's protocol. It needs the extra `gateway`."""

from tailrace.gateway.app import create_app, drain
from tailrace.gateway.settings import GatewaySettings

__all__ = ["GatewaySettings", "create_app", "drain"]
