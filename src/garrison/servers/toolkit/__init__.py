"""What every built-in server shares: declaring tools, serving them, safe paths, bounded processes."""
