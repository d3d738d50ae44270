"""optional: A runtime as a gateway: one TOML file configures it, and any ASGI server serves it (docs/remote.md)."""
