"""The time server: now, conversions, differences and time zones."""
