"""`protoc-gen-plugmux`: typed Python services and clients from proto files.

`plugin` implements protoc's plugin protocol, `names` chooses Python names, `messages` finds message classes and their
modules, `module` and `service` write the source. `relocate` moves protoc's own output into a package.
"""
