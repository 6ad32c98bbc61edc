"""The git server: allow-listed repositories, read-only unless told otherwise."""
