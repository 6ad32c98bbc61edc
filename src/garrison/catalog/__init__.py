"""What should exist: specs, where they come from, and the snapshot that they make."""
