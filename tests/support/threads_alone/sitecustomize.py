"""Python imports this when it starts, where this folder is on its path: only threads tell the end of a process then."""

import os
import select

for module, name in ((os, "pidfd_open"), (select, "kqueue")):
    if hasattr(module, name):
        delattr(module, name)
