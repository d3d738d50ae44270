"""Public packages that carry proto files with services, each pinned, and how their files are imported.

Go's modules of envoy (go-control-plane) and of googleapis (genproto) carry no proto files: envoy's are taken from what
PyPI has of them, googleapis' from what npm has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["SOURCES", "Source"]


@dataclass(frozen=True)
class Source:
    """One package.

    Args:
        registry: `"pypi"`, `"npm"` or `"go"`.
        package: its name, or a module's path.
        version: the version.
        roots: folders of the package by the path under which protoc finds their files. With none, the files are taken
            from the descriptors in the package's `_pb2` modules.
        needs: names of other packages whose roots its files import from.
        below: the Python package that the output goes below. containerd has a directory called `types`.
        is_large: whether it takes longer than all the others, and is checked with `--all` or by its name.
    """

    registry: str
    package: str
    version: str
    roots: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    below: str = ""
    is_large: bool = False


GOOGLEAPIS = "googleapis-common-protos"
GATEWAY = "github.com/grpc-ecosystem/grpc-gateway/v2"

SOURCES = (
    Source("pypi", "grpcio-tools", "1.85.1", {"": "grpc_tools/_proto"}),
    Source("pypi", GOOGLEAPIS, "1.76.0", {"": ""}),
    Source("pypi", "opentelemetry-proto", "1.45.2"),
    Source("pypi", "grpcio-health-checking", "1.85.1"),
    Source("pypi", "grpcio-reflection", "1.85.1"),
    Source("pypi", "grpcio-channelz", "1.85.0"),
    Source("go", "go.etcd.io/etcd/api/v3", "v3.7.3", {"etcd/api": ""}, (GOOGLEAPIS, GATEWAY)),
    Source("go", "github.com/containerd/containerd/api", "v1.12.0", {"": ""}, (GOOGLEAPIS,), below="containerd"),
    Source("go", "k8s.io/cri-api", "v0.37.2", {"": ""}),
    Source("go", GATEWAY, "v2.33.0", {"": ""}, (GOOGLEAPIS,)),
    Source("go", "google.golang.org/grpc", "v1.85.0", {"": ""}),
    Source("pypi", "xds-protos", "1.85.0"),
    Source("npm", "google-proto-files", "5.0.3", {"google": "google", "grafeas": "grafeas"}, is_large=True),
)
