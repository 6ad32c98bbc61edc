"""Speaks MCP: messages, revisions, connections to servers and the transports that carry them."""
