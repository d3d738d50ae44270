"""Which exceptions are failures of the code that raised them."""

from __future__ import annotations

import asyncio

__all__ = ["is_failure"]

_ENDINGS = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)


def is_failure(error: BaseException) -> bool:
    """Whether code has failed, and not been told to end: by its caller, or with the whole process.

    A failure need not be an `Exception`: the panic of an extension module (`pyo3_runtime.PanicException`) is none.
    """
    return not isinstance(error, _ENDINGS)
