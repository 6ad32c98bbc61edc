"""The HTTP edge: MCP endpoints straight from the socket, everything else through ASGI."""
