"""Makes servers run and keeps them running: drivers, supervisor, guardian."""
