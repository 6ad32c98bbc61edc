"""The scanner: what in a definition, or in a text of a server, speaks to the model instead of describing."""
