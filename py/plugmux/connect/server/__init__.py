"""The serving side of Connect RPC."""
