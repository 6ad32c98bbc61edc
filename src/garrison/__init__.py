"""Runs, protects and ships fleets of MCP servers."""

__version__ = "0.1.0"
