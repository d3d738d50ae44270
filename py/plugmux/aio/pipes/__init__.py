"""Two one-way pipes as one asyncio transport.

This is the second form of a launched plugin's link (docs/wire.md section 2), and the only one on Windows. Where the
event loop can wait for pipes, it serves them (`pair`). The handles of the anonymous pipes that a plugin inherits on
Windows are synchronous, and no event loop can: there a thread reads and a thread writes (`threads`). So do two threads
for a named pipe in an event loop that waits for none (`streams`).
"""

from .pair import PipePair, open_pipe_pair
from .streams import open_pipes, open_stream

__all__ = ["PipePair", "open_pipe_pair", "open_pipes", "open_stream"]
