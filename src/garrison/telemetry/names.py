"""Every metric and attribute name, in one place.

The dotted names are those of OpenTelemetry's semantic conventions for MCP and generative AI, which are in
development status: when they change, this file changes. `prometheus_name` gives the exposition's spelling.
"""

from __future__ import annotations

import re

# Attributes of spans and metrics.
METHOD = "mcp.method.name"
PROTOCOL_VERSION = "mcp.protocol.version"
SESSION_ID = "mcp.session.id"
RESOURCE_URI = "mcp.resource.uri"
TOOL = "gen_ai.tool.name"
PROMPT = "gen_ai.prompt.name"
OPERATION = "gen_ai.operation.name"
OPERATION_EXECUTE_TOOL = "execute_tool"
REQUEST_ID = "jsonrpc.request.id"
STATUS_CODE = "rpc.response.status_code"
ERROR_TYPE = "error.type"
ERROR_TYPE_TOOL = "tool_error"
TRANSPORT = "network.transport"
SERVER = "garrison.server.name"
"""Ours: the catalog's name of the upstream server."""

INSTANCE = "garrison.instance.number"
"""Ours: which instance of a server that has several; at most 64."""

# Gauges of the fleet: ours.
SERVER_INSTANCES = "garrison.server.instances"
INSTANCE_CALLS_IN_FLIGHT = "garrison.instance.calls_in_flight"
INSTANCE_LEFT_ALONE = "garrison.instance.left_alone"
INSTANCES_EJECTED = "garrison.instances.ejected"
SERVER_RUNNING = "garrison.server.running"
SERVER_RESTARTS = "garrison.server.restarts"
SERVER_CALLS_IN_FLIGHT = "garrison.server.calls_in_flight"
SCREEN_FINDINGS = "garrison.screen.findings"
SCREEN_CODE = "garrison.screen.code"
SCREEN_ACTION = "garrison.screen.action"
STREAMS_OPEN = "garrison.streams.open"
OWN_CONNECTIONS = "garrison.connections.own"
AUTH_FAILURES = "garrison.auth.failures"
AUDIT_FORWARD_BEHIND = "garrison.audit.forward_behind"

# Histograms, in seconds.
SERVER_OPERATION_DURATION = "mcp.server.operation.duration"
CLIENT_OPERATION_DURATION = "mcp.client.operation.duration"
SERVER_SESSION_DURATION = "mcp.server.session.duration"
CLIENT_SESSION_DURATION = "mcp.client.session.duration"
DURATION_BUCKETS_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)

# Trace context, as it travels in `_meta`.
TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
BAGGAGE = "baggage"

# Process metrics, as every Prometheus client names them.
PROCESS_RSS = "process_resident_memory_bytes"
PROCESS_CPU = "process_cpu_seconds_total"
PROCESS_OPEN_FDS = "process_open_fds"
PROCESS_MAX_FDS = "process_max_fds"
PROCESS_START = "process_start_time_seconds"

_NOT_ALLOWED = re.compile(r"[^a-zA-Z0-9_]")


def prometheus_name(name: str, unit: str = "") -> str:
    """`mcp.server.operation.duration` with unit `seconds` → `mcp_server_operation_duration_seconds`."""
    flat = _NOT_ALLOWED.sub("_", name)
    if flat[:1].isdigit():
        flat = f"_{flat}"
    return f"{flat}_{unit}" if unit and not flat.endswith(f"_{unit}") else flat


def span_name(method: str, target: str = "") -> str:
    """`tools/call echo`, or the bare method where there is no tool or prompt."""
    return f"{method} {target}" if target else method
