"""`plugmux describe SERVICE[/METHOD]`: what a service looks like, and a request to fill in."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError, PlugmuxError
from ..launch.options import in_time
from ..output import write_json, write_text
from ..target import add_target_options, open_target
from .call import choose, meant_service

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor

__all__ = ["add", "run"]

NAMED = re.compile(r"/?(?P<service>[A-Za-z_][\w.]*)(/(?P<method>[A-Za-z_]\w*))?", re.ASCII)


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "describe",
        help="show what a service, or one of its methods, takes and gives",
        description="Show a service as a proto file has it. For a method, its messages are shown too, and the call "
        "with a request to fill in. The plugin tells by gRPC's server reflection, which every SDK serves.",
        allow_abbrev=False,
    )
    parser.add_argument("name", metavar="SERVICE[/METHOD]", help="for example kv.v1.KeyValueService/Get")
    parser.add_argument("--json", action="store_true", help="print one object, with the template of each request")
    add_target_options(parser)
    parser.add_argument("--name", dest="chosen", metavar="PLUGIN", help="the plugin to ask, where several serve it")
    return parser


async def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    named = NAMED.fullmatch(options.name)
    if named is None:
        raise ConfigError(f"{options.name!r} is not of the form SERVICE or SERVICE/METHOD, as kv.v1.KeyValueService is")
    service = named["service"]
    async with open_target(options) as target, in_time(options.timeout):
        plugins = await target.plugins()
        plugin = choose(plugins, service, options.chosen)
        if plugin is None:
            raise PlugmuxError(f"no plugin serves {service}{meant_service(plugins, service)}")
        from ...dynamic.schema import find_service, method_of
        from ..proto_text import method_as_json, method_as_proto, service_as_proto

        described = await find_service(target.transport(plugin), service)
        if described is None:
            raise PlugmuxError(
                f"plugin {plugin!r} does not tell what {service} looks like: it does not serve gRPC's server "
                "reflection (grpc.reflection.v1), or does not know the service; its proto file says it"
            )
        methods = [method_of(described, named["method"])] if named["method"] else described.methods
        if options.json:
            write_json({"service": service, "methods": [method_as_json(method) for method in methods]})
        elif named["method"]:
            write_text(f"{method_as_proto(methods[0])}\n\n{_call(service, methods[0])}")
        else:
            write_text(service_as_proto(described))
    return 0


def _call(service: str, method: MethodDescriptor) -> str:
    """The command that calls the method, with a request to fill in."""
    from ..proto_text import request_template

    request = json.dumps(request_template(method.input_type), ensure_ascii=False)
    return f"plugmux call {service}/{method.name} {shlex.quote(request)}"
