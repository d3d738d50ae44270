"""The runtime's socket: who may connect, and what it serves."""
