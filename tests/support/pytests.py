"""Runs of pytest that tests start."""

__all__ = ["FEW_PLUGINS"]

FEW_PLUGINS = {"PYTEST_ADDOPTS": "-p no:hypothesispytest -p no:xdist -p no:xdist.looponfail -p no:cacheprovider"}
"""Variables that leave out what such a run has no use for, and is a third of its start."""
