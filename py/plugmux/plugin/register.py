"""Registers a plugin with its runtime, once for each link. (docs/wire.md sections 4 and 5.)"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..connect import RpcError
from ..errors import PlugmuxError
from ..link.link import Link

if TYPE_CHECKING:
    from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest, RegisterPluginResponse

__all__ = ["RegistrationFailed", "register"]


class RegistrationFailed(PlugmuxError):
    """The runtime refused the plugin, or did not answer its registration in time."""


async def register(link: Link, request: RegisterPluginRequest, timeout: float) -> RegisterPluginResponse:
    """Register the plugin with the runtime at the other end of a link.

    Args:
        link: the link, which has just been connected.
        request: the registration.
        timeout: seconds for the answer.

    Raises:
        RegistrationFailed: the runtime refused, went away, or did not answer in time.
    """
    from plugmux_proto.plugins.v1.plugins_connect import RegisterClient

    try:
        return await link.client(RegisterClient).register_plugin(request, timeout=timeout)
    except RpcError as error:
        raise RegistrationFailed(f"the runtime did not register plugin {request.name!r}: {error.message}") from error
    except (PlugmuxError, TimeoutError) as error:
        raise RegistrationFailed(f"plugin {request.name!r} could not register: {error}") from error
