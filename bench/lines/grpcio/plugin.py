import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from kv.v1.kv_pb2 import GetResponse, PutResponse
from kv.v1.kv_pb2_grpc import KeyValueServiceServicer, add_KeyValueServiceServicer_to_server


class Store(KeyValueServiceServicer):
    values = {}

    def Put(self, request, context):
        self.values[request.key] = request.value
        return PutResponse()

    def Get(self, request, context):
        return GetResponse(value=self.values[request.key])


server = grpc.server(ThreadPoolExecutor())
add_KeyValueServiceServicer_to_server(Store(), server)
server.add_insecure_port(sys.argv[1])
server.start()
server.wait_for_termination()
