"""The HTTP server: routes for jobs and conversations, server-sent events, the AI SDK's protocol.

It needs the extra `gateway`.
"""

from tailrace.gateway.app import create_app, drain
from tailrace.gateway.settings import GatewaySettings

__all__ = ["GatewaySettings", "create_app", "drain"]
