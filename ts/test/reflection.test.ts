/** What a plugin tells of its services, for callers such as the command line. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type DescMethodBiDiStreaming, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { AuthorizerService } from "../../gen/ts/resolver/v1/resolver_pb.js";
import { REFLECTION, ReflectionService } from "../src/reflection.js";
import { keepAlive, start } from "./runtime.js";

keepAlive();

interface Answer {
  readonly messageResponse: { readonly case: string; readonly value: never };
}

async function ask(...questions: [name: string, value: unknown][]): Promise<Answer["messageResponse"][]> {
  const { link, over } = start({ services: (router) => router.service(AuthorizerService, { authorize: () => ({}) }) });
  const method = ReflectionService.methods[0] as DescMethodBiDiStreaming;
  const requests = (async function* () {
    for (const [name, value] of questions) yield { messageRequest: { case: name, value } } as Record<string, unknown>;
  })();
  const answers: Answer["messageResponse"][] = [];
  const response = await link.transport.stream(method, undefined, undefined, undefined, requests);
  for await (const answer of response.message) answers.push((answer as unknown as Answer).messageResponse);
  await link.close();
  await over;
  return answers;
}

test("the services are listed", async () => {
  const [answer] = await ask(["listServices", ""]);
  const { service } = answer?.value as unknown as { service: { name: string }[] };
  const names = service.map(({ name }) => name);
  assert.ok(names.includes(AuthorizerService.typeName) && names.includes(REFLECTION));
});

test("a service is given with its file and all that it imports, by each of its names", async () => {
  const answers = await ask(
    ["fileContainingSymbol", "resolver.v1.AuthorizerService"],
    ["fileContainingSymbol", "resolver.v1.AuthorizerService.Authorize"],
    ["fileContainingSymbol", "resolver.v1.AuthorizeRequest"],
    ["fileByFilename", "resolver/v1/resolver.proto"],
  );
  for (const { case: kind, value } of answers) {
    assert.equal(kind, "fileDescriptorResponse");
    const { fileDescriptorProto } = value as unknown as { fileDescriptorProto: Uint8Array[] };
    const files = fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
    assert.deepEqual(
      files.map(({ name }) => name),
      ["resolver/v1/resolver.proto", "google/protobuf/timestamp.proto"],
    );
    const methods = files[0]?.service.find(({ name }) => name === "AuthorizerService")?.method;
    assert.deepEqual(
      methods?.map(({ name, clientStreaming, serverStreaming }) => [name, clientStreaming, serverStreaming]),
      [["Authorize", false, false]],
    );
  }
});

test("what is not known is told as such, and the questions go on", async () => {
  const answers = await ask(
    ["fileContainingSymbol", "no.such.Thing"],
    ["fileByFilename", "no.proto"],
    ["fileContainingExtension", { containingType: "no.Thing", extensionNumber: 1 }],
    ["allExtensionNumbersOfType", "no.Thing"],
    ["allExtensionNumbersOfType", "resolver.v1.AuthorizeRequest"],
  );
  assert.deepEqual(
    answers.map(({ case: kind }) => kind),
    [...Array.from({ length: 4 }, () => "errorResponse"), "allExtensionNumbersResponse"],
  );
});
