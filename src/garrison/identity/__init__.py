"""Who is asking: API keys, tokens and certificates become principals; stored secrets and credentials."""
