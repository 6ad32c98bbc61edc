"""Tolerant, position-keeping readers of JSONC, TOML and YAML: text in, one located tree and problems out."""
