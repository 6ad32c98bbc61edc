"""The built-in MCP servers: one file or folder each, sharing only the toolkit."""
