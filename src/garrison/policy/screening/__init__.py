"""Screening: secrets, personal data and hidden characters in what passes the gateway."""
