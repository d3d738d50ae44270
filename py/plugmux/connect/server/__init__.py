"""Servers of Connect RPC."""
