"""One test of a host for its plugin in each language."""

import pytest
from kv.v1.kv_connect import AuditService, KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest, RecordResponse

from plugmux.connect import Code, RpcError


class Audit(AuditService):
    async def record(self, request, context):
        return RecordResponse()


@pytest.mark.plugins("python", "go", "ts")
async def test_a_value_is_kept(launch_plugin, built_plugin):
    async with launch_plugin(built_plugin, services=[Audit()]) as host:
        kv = host.client(KeyValueClient)
        with pytest.raises(RpcError) as caught:
            await kv.get(GetRequest(key="a"), timeout=10.0)
        assert caught.value.code is Code.NOT_FOUND
        await kv.put(PutRequest(key="a", value=b"1"), timeout=10.0)
        assert (await kv.get(GetRequest(key="a"), timeout=10.0)).value == b"1"
