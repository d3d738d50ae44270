"""The program `protoc-gen-plugmux`, a plugin of protoc and buf.

protoc writes a `CodeGeneratorRequest` on stdin and reads a `CodeGeneratorResponse` on stdout. For each file with
services, `kv/v1/kv.proto`, the response holds `kv/v1/kv_connect.py`, which imports the `kv_pb2` that protoc itself
writes. The same input gives the same output, byte for byte.

Options (`opt:` in buf.gen.yaml, comma-separated):
    package=NAME    the Python package that holds the modules of this run, for output into a package of the user's.
                    protoc has no such option for its own output: `protoc-gen-plugmux --relocate` moves it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from google.protobuf.compiler import plugin_pb2
from google.protobuf.descriptor_pb2 import Edition
from google.protobuf.message import DecodeError

from ...contract.version import VERSION
from .messages import find_messages, find_modules
from .module import render
from .names import is_plain
from .relocate import relocate

__all__ = ["generate", "main"]

ABOUT = """\
Generate typed Python services and clients from proto files. This is a plugin of buf and protoc, which start
it and write a request to its stdin. With buf, add it to buf.gen.yaml after protoc's own Python output, as

  - local: protoc-gen-plugmux
    out: DIRECTORY

and run `buf generate`. With protoc, use the option --plugmux_out=DIRECTORY.
"""
WRONG_USAGE = 2


def main() -> int:
    """The console script: one request from stdin, one response to stdout."""
    parser = argparse.ArgumentParser(
        "protoc-gen-plugmux", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    version = f"%(prog)s {VERSION.removeprefix('v')}"
    parser.add_argument("--version", action="version", version=version, help="print the version and exit")
    parser.add_argument(
        "--relocate",
        nargs=2,
        metavar=("DIRECTORY", "PACKAGE"),
        help="make protoc's modules in a directory import one another from a package, and exit",
    )
    arguments = parser.parse_args()
    if arguments.relocate:
        return _relocate(parser, *arguments.relocate)
    if sys.stdin.isatty():
        parser.print_help(sys.stderr)
        return WRONG_USAGE
    try:
        request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    except DecodeError:
        parser.exit(WRONG_USAGE, f"{parser.prog}: stdin is not a request of buf or protoc; see --help\n")
    sys.stdout.buffer.write(generate(request).SerializeToString(deterministic=True))
    return 0


def _relocate(parser: argparse.ArgumentParser, directory: str, package: str) -> int:
    if not Path(directory).is_dir():
        parser.error(f"{directory!r} is not a directory")
    try:
        relocate(Path(directory), package)
    except ValueError as error:
        parser.error(str(error))
    return 0


def generate(request: plugin_pb2.CodeGeneratorRequest) -> plugin_pb2.CodeGeneratorResponse:
    """Answer protoc's request. A fault of the request is reported in the `error` of the response, for protoc."""
    response = plugin_pb2.CodeGeneratorResponse(
        supported_features=plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
        | plugin_pb2.CodeGeneratorResponse.FEATURE_SUPPORTS_EDITIONS,
        minimum_edition=Edition.EDITION_PROTO2,
        maximum_edition=Edition.EDITION_2024,
    )
    try:
        package = _package_option(request.parameter)
    except ValueError as error:
        response.error = str(error)
        return response
    modules = find_modules(request.proto_file, package, request.file_to_generate)
    messages = find_messages(request.proto_file, modules)
    files = {file.name: file for file in request.proto_file}
    for name in request.file_to_generate:
        if files[name].service:
            response.file.add(name=f"{modules[name].stem}_connect.py", content=render(files[name], messages))
    return response


def _package_option(parameter: str) -> str:
    package = ""
    for option in filter(None, parameter.split(",")):
        name, _, value = option.partition("=")
        if name != "package":
            raise ValueError(f"protoc-gen-plugmux has no option {name!r}; its option is package=NAME")
        if not is_plain(value):
            raise ValueError(f"the option package={value!r} is not the name of a Python package")
        package = value
    return package
