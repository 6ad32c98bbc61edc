"""How messages travel to a server: a child's pipes, Streamable HTTP, or the older HTTP+SSE."""
