// grpc-js on both ends, over a unix socket. Messages are those of protobuf-es, as they are for the others in Node.js.
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, Server, ServerCredentials } from "@grpc/grpc-js";
import { BenchService } from "./gen/bench/v1/bench_pb.js";
import { run, whole } from "./measure.js";
import { service } from "./service.js";

const UNLIMITED = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };

const codec = (schema) => ({
  serialize: (message) => Buffer.from(toBinary(schema, create(schema, message)).buffer),
  deserialize: (bytes) => fromBinary(schema, bytes),
});

const definition = Object.fromEntries(
  BenchService.methods.map(({ localName, name, input, output, methodKind }) => [
    localName,
    {
      path: `/${BenchService.typeName}/${name}`,
      requestStream: methodKind === "client_streaming",
      responseStream: methodKind === "server_streaming",
      requestSerialize: codec(input).serialize,
      requestDeserialize: codec(input).deserialize,
      responseSerialize: codec(output).serialize,
      responseDeserialize: codec(output).deserialize,
    },
  ]),
);

// Writes all messages, each as soon as there is room for it.
async function writeAll(call, messages) {
  for await (const message of messages) {
    if (!call.write(message)) await once(call, "drain");
  }
  call.end();
}

async function serve(path) {
  const server = new Server(UNLIMITED);
  server.addService(definition, {
    echo: (call, answer) => answer(null, service.echo(call.request)),
    download: (call) => void writeAll(call, service.download(call.request)),
    upload: (call, answer) => void service.upload(call).then((response) => answer(null, response), answer),
  });
  await promisify(server.bindAsync.bind(server))(`unix:${path}`, ServerCredentials.createInsecure());
}

function connect(path) {
  const client = new Client(`unix:${path}`, credentials.createInsecure(), UNLIMITED);
  const { echo, download, upload } = definition;
  return {
    async echo(payload) {
      const response = await new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          echo.path,
          echo.requestSerialize,
          echo.responseDeserialize,
          { payload },
          (error, value) => (error ? reject(error) : resolve(value)),
        );
      });
      whole(response.payload.length, payload.length);
    },
    async download(count, size) {
      let bytes = 0;
      const chunks = client.makeServerStreamRequest(
        download.path,
        download.requestSerialize,
        download.responseDeserialize,
        {
          count,
          size,
        },
      );
      for await (const { payload } of chunks) bytes += payload.length;
      whole(bytes, count * size);
    },
    async upload(count, size) {
      const response = await new Promise((resolve, reject) => {
        const call = client.makeClientStreamRequest(
          upload.path,
          upload.requestSerialize,
          upload.responseDeserialize,
          (error, value) => (error ? reject(error) : resolve(value)),
        );
        writeAll(call, service.download({ count, size })).catch(reject);
      });
      whole(Number(response.bytes), count * size);
    },
    close: () => client.close(),
  };
}

await run("grpc-js", fileURLToPath(import.meta.url), { serve, connect });
