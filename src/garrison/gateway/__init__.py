"""One call in, one ordered pipeline, one outcome out."""
