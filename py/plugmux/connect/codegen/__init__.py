"""`protoc-gen-plugmux`: typed Python services and clients from proto files.

`plugin` speaks protoc's plugin protocol, `names` chooses Python names, `messages` finds message classes and the modules
that hold them, `module` and `service` write the source. `relocate` moves protoc's own output below a package.
"""
