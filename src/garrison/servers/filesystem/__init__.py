"""The filesystem server: files beneath allowed roots, read-only unless told otherwise."""
