"""Standard gRPC services that any app can serve as well: `plugmux.services.health` and `.reflection`.

Import only the module that is needed: the import makes its message classes.
"""
