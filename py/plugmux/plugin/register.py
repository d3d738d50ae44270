"""How a plugin announces itself to its runtime, once per link. (wire.md sections 4 and 5.)"""

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
    """Announce the plugin to the runtime at the other end of the link.

    Args:
        link: the link, just connected.
        request: what the plugin says of itself.
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
