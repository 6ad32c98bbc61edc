"""Fixtures of the edge's tests."""

from running_fleet import start_fleet

__all__ = ["start_fleet"]
