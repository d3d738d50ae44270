"""The commands that show a runtime at work: `top`, a table that follows it, and `graph`, a picture of its calls."""
