"""The groups of settings, one file for each part of the house that they are about."""
