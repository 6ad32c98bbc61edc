"""What happened, as numbers and lines: metrics, structured logs, and the masking of secrets in both."""
