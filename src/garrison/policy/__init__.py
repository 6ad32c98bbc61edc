"""May this happen? Pure rules: facts in, findings and decisions out."""
