"""How the runtime finds out that a plugin hangs."""
