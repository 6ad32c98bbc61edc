"""Ground floor: errors, time, ids, paths and settings. Knows nothing of MCP."""
