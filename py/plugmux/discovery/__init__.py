"""Plugins that are found in directories, by name and version."""
