"""Clients of Connect RPC."""
