// What the methods of a plugin take and give, by the plugin's own reflection.

import {
  createFileRegistry,
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
  fromJson,
  type JsonObject,
  type JsonValue,
  type Registry,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { inspector } from "./client";

export interface Schema {
  service: DescService;
  registry: Registry;
}

const known = new Map<string, Promise<Schema>>();

export function schemaOf(plugin: string, service: string, version: string): Promise<Schema> {
  const key = `${plugin}\n${service}\n${version}`;
  let found = known.get(key);
  if (!found) {
    found = fetched(plugin, service);
    found.catch(() => known.delete(key));
    known.set(key, found);
  }
  return found;
}

async function fetched(plugin: string, service: string): Promise<Schema> {
  const { fileDescriptorSet } = await inspector.getSchema({ plugin, service });
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, fileDescriptorSet));
  const found = registry.getService(service);
  if (!found) throw new Error(`the plugin's schema has no ${service}`);
  return { service: found, registry };
}

export function isSecret(field: DescField): boolean {
  return field.proto.options?.debugRedact === true;
}

/** What is wrong with a message as JSON; empty if nothing is. */
export function fault(message: DescMessage, value: JsonValue, registry: Registry): string {
  try {
    fromJson(message, value, { registry, ignoreUnknownFields: false });
    return "";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

export const KINDS: Record<DescMethod["methodKind"], string> = {
  unary: "unary",
  server_streaming: "server stream",
  client_streaming: "client stream",
  bidi_streaming: "streams both ways",
};

const MASK = "****";

/** A message without the values that its proto says are secret. */
export function masked(value: JsonValue, message: DescMessage): JsonValue {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  if (message.typeName.startsWith("google.protobuf.")) return value;
  const fields = new Map(
    message.fields.flatMap((field) => [[field.jsonName, field] as const, [field.name, field] as const]),
  );
  const entries = Object.entries(value as JsonObject).map(([name, inner]) => {
    const field = fields.get(name);
    return [name, field ? maskedField(inner, field) : inner];
  });
  return Object.fromEntries(entries) as JsonObject;
}

function maskedField(value: JsonValue, field: DescField): JsonValue {
  if (isSecret(field)) return MASK;
  const inner =
    field.fieldKind === "map" || field.fieldKind === "list" || field.fieldKind === "message"
      ? field.message
      : undefined;
  if (!inner) return value;
  if (field.fieldKind === "list" && Array.isArray(value)) return value.map((each) => masked(each, inner));
  if (field.fieldKind === "map" && typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, masked(each as JsonValue, inner)]));
  }
  return masked(value, inner);
}
