"""The pipeline's stages, one file each; they do not know each other."""
