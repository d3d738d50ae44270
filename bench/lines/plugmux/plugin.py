from kv.v1.kv_connect import KeyValueService
from kv.v1.kv_pb2 import GetResponse, PutResponse
from plugmux import Plugin


class Store(KeyValueService):
    values = {}

    async def put(self, request, context):
        self.values[request.key] = request.value
        return PutResponse()

    async def get(self, request, context):
        return GetResponse(value=self.values[request.key])


plugin = Plugin(Store())
