"""How instances run, one file a way; drivers do not know each other."""
