"""The calling side of Connect RPC."""
