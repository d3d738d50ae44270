"""plugmux's own messages live in a pool of their own, with either implementation of protobuf."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import plugmux_proto.google.protobuf.timestamp_pb2 as own_timestamp_pb2
import pytest
from google.protobuf import descriptor_pool, timestamp_pb2
from plugmux_proto.plugins.v1.plugins_pb2 import Plugin, RunStatus
from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsResponse

import plugmux
from plugmux.contract.pool import POOL

Envelope = GetSecretsResponse.Envelope
GENERATED = Path(next(iter(sys.modules["plugmux_proto"].__path__)))
MODULES = sorted(
    ".".join(path.relative_to(GENERATED.parent).with_suffix("").parts) for path in GENERATED.rglob("*_pb2.py")
)
EVERYTHING = f"""
import importlib, sys
sys.path[:0] = {[str(GENERATED.parent), str(Path(plugmux.__file__).parents[1])]!r}
from google.protobuf import descriptor_pool, descriptor_pb2
from google.protobuf.internal import api_implementation
assert api_implementation.Type() == sys.argv[1], api_implementation.Type()
files = [importlib.import_module(name).DESCRIPTOR for name in {MODULES!r}]
for file in files:
    if not file.name.startswith("google/"):
        # The pool of the process has neither a file nor a message of these names: it takes others.
        taken = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(taken)
        del taken.dependency[:], taken.service[:], taken.enum_type[:], taken.extension[:]
        names = [message.name for message in taken.message_type]
        del taken.message_type[:]
        for name in names:
            taken.message_type.add(name=name).field.add(name="other", number=1, type=9, label=1)
        descriptor_pool.Default().AddSerializedFile(taken.SerializeToString())
        for name in names:
            found = descriptor_pool.Default().FindMessageTypeByName(taken.package + "." + name)
            assert list(found.fields_by_name) == ["other"]
from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsResponse
envelope = GetSecretsResponse.Envelope(id="a", metadata={{"b": "c"}})
envelope.expires_at.FromSeconds(5)
response = GetSecretsResponse(envelopes=[envelope])
assert GetSecretsResponse.FromString(response.SerializeToString()) == response
assert response.envelopes[0].expires_at.ToSeconds() == 5
print(len(files))
"""


@pytest.mark.parametrize("implementation", ["upb", "python"])
def test_the_pool_of_the_process_has_none_of_our_names(implementation: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", EVERYTHING, implementation],
        env={**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, f"{len(MODULES)}\n"), run.stderr


def test_the_classes_are_as_protobuf_makes_them() -> None:
    assert (Plugin.__module__, Plugin.__qualname__) == ("plugmux_proto.plugins.v1.plugins_pb2", "Plugin")
    assert Envelope.__qualname__ == "GetSecretsResponse.Envelope"
    assert RunStatus.Name(RunStatus.RUN_STATUS_CRASHED) == "RUN_STATUS_CRASHED"
    assert POOL.FindMessageTypeByName("resolver.v1.GetSecretsResponse.Envelope") is Envelope.DESCRIPTOR
    response = GetSecretsResponse(envelopes=[Envelope(id="a")])
    assert type(response.envelopes[0]) is Envelope
    assert pickle.loads(pickle.dumps(response)) == copy.deepcopy(response) == response


def test_a_time_is_one_of_our_pool_and_reads_as_any() -> None:
    with pytest.raises(TypeError, match="Timestamp"):
        Envelope(created_at=timestamp_pb2.Timestamp(seconds=5))  # type: ignore[arg-type]  # of the other pool
    envelope = Envelope(created_at=own_timestamp_pb2.Timestamp(seconds=5))
    assert envelope.created_at.ToDatetime().second == 5
    assert descriptor_pool.Default().FindFileByName("google/protobuf/timestamp.proto").pool is not POOL
