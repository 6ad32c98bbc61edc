"""`python -m garrison.servers NAME --root PATH …`: one built-in server, without the rest of Garrison."""

from __future__ import annotations

import sys

from garrison.servers.command import run

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
