import subprocess
import sys
import tempfile

import grpc
from kv.v1.kv_pb2 import GetRequest, PutRequest
from kv.v1.kv_pb2_grpc import KeyValueServiceStub

with tempfile.TemporaryDirectory() as folder:
    address = f"unix:{folder}/socket"
    process = subprocess.Popen([sys.executable, "plugin.py", address])
    try:
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(timeout=60)
            kv = KeyValueServiceStub(channel)
            kv.Put(PutRequest(key="a", value=b"1"))
            print(kv.Get(GetRequest(key="a")).value.decode())
    finally:
        process.terminate()
        process.wait()
