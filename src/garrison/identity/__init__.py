"""Who is asking and what may they do: principals, API keys, roles and stored secrets."""
