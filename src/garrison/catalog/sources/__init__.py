"""The file families that name MCP servers: one reader each, all giving drafts."""
