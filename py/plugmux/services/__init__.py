"""Services of gRPC's that any app can mount beside its own: `plugmux.services.health` and `.reflection`.

Each is imported by those who use it; the import makes its message classes.
"""
