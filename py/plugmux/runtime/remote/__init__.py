"""Plugins on other machines, as a runtime sees them: those that dial it, and those that it dials."""
