// connect-node on both ends, over HTTP/2 on a unix socket.
import { once } from "node:events";
import { createServer } from "node:http2";
import { connect as connectSocket } from "node:net";
import { fileURLToPath } from "node:url";
import { createClient } from "@connectrpc/connect";
import { connectNodeAdapter, createConnectTransport } from "@connectrpc/connect-node";
import { BenchService } from "./gen/bench/v1/bench_pb.js";
import { run, whole } from "./measure.js";
import { service } from "./service.js";

async function serve(path) {
  // Compression, which connect-node asks for by default, would only slow it down on a local link.
  const handler = connectNodeAdapter({
    routes: (router) => router.service(BenchService, service),
    acceptCompression: [],
  });
  await once(createServer(handler).listen(path), "listening");
}

function connect(path) {
  const transport = createConnectTransport({
    baseUrl: "http://bench",
    httpVersion: "2",
    nodeOptions: { createConnection: () => connectSocket(path) },
    acceptCompression: [],
  });
  const client = createClient(BenchService, transport);
  return {
    async echo(payload) {
      whole((await client.echo({ payload })).payload.length, payload.length);
    },
    async download(count, size) {
      let bytes = 0;
      for await (const { payload } of client.download({ count, size })) bytes += payload.length;
      whole(bytes, count * size);
    },
    async upload(count, size) {
      whole(Number((await client.upload(service.download({ count, size }))).bytes), count * size);
    },
    close: () => (process.exitCode = 0),
  };
}

await run("connect-node", fileURLToPath(import.meta.url), { serve, connect });
