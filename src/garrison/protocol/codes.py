"""JSON-RPC error codes.

Below -32000 the codes are JSON-RPC's own; -3202x come from MCP 2026-07-28; -3205x are Garrison's, chosen in the
implementation-defined range where no revision and no SDK has one.
"""

from __future__ import annotations

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603

HEADER_MISMATCH = -32020
MISSING_CAPABILITY = -32021
URL_ELICITATION_REQUIRED = -32042
"""2025-11-25: the client has to have a URL opened first."""
UNSUPPORTED_VERSION = -32022

UNAUTHENTICATED = -32051
DENIED = -32053
LIMITED = -32054
TIMED_OUT = -32055
UNAVAILABLE = -32056
CONFLICT = -32059

MODERN_HTTP_STATUS = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    MISSING_CAPABILITY: 400,
    UNSUPPORTED_VERSION: 400,
    METHOD_NOT_FOUND: 404,
}
"""HTTP status of an error response in 2026-07-28; codes that are not named travel with 200."""
