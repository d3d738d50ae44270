/**
 * gRPC's server reflection (grpc.reflection.v1): tells callers, such as the command line, which services there are and what
 * their methods and messages look like.
 */

import {
  create,
  createFileRegistry,
  createRegistry,
  type DescFile,
  type DescService,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";
import type { ConnectRouter } from "@connectrpc/connect";

export const REFLECTION = "grpc.reflection.v1.ServerReflection";

/** `not_found` by its number, which is what this protocol sends. */
const NOT_FOUND = 5;

/** The messages of the protocol that are used here. A field is `type name number`; a type that is not a scalar is a message. */
const MESSAGES: Readonly<Record<string, { readonly oneof?: string; readonly fields: readonly string[] }>> = {
  ServerReflectionRequest: {
    oneof: "message_request",
    fields: [
      "string host 1",
      "string file_by_filename 3 oneof",
      "string file_containing_symbol 4 oneof",
      "ExtensionRequest file_containing_extension 5 oneof",
      "string all_extension_numbers_of_type 6 oneof",
      "string list_services 7 oneof",
    ],
  },
  ExtensionRequest: { fields: ["string containing_type 1", "int32 extension_number 2"] },
  ServerReflectionResponse: {
    oneof: "message_response",
    fields: [
      "string valid_host 1",
      "ServerReflectionRequest original_request 2",
      "FileDescriptorResponse file_descriptor_response 4 oneof",
      "ExtensionNumberResponse all_extension_numbers_response 5 oneof",
      "ListServiceResponse list_services_response 6 oneof",
      "ErrorResponse error_response 7 oneof",
    ],
  },
  FileDescriptorResponse: { fields: ["bytes file_descriptor_proto 1 repeated"] },
  ExtensionNumberResponse: { fields: ["string base_type_name 1", "int32 extension_number 2 repeated"] },
  ListServiceResponse: { fields: ["ServiceResponse service 1 repeated"] },
  ServiceResponse: { fields: ["string name 1"] },
  ErrorResponse: { fields: ["int32 error_code 1", "string error_message 2"] },
};

const SCALARS: Readonly<Record<string, Type>> = { string: Type.STRING, bytes: Type.BYTES, int32: Type.INT32 };

function field(text: string) {
  const [type = "", name = "", number, rule] = text.split(" ");
  const scalar = SCALARS[type];
  return {
    name,
    // protoc leaves it out and every reader derives it, but for @bufbuild/protobuf, whose JSON then has no names.
    jsonName: name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    number: Number(number),
    label: rule === "repeated" ? Label.REPEATED : Label.OPTIONAL,
    type: scalar ?? Type.MESSAGE,
    ...(scalar === undefined && { typeName: `.grpc.reflection.v1.${type}` }),
    ...(rule === "oneof" && { oneofIndex: 0 }),
  };
}

const file = create(FileDescriptorProtoSchema, {
  name: "grpc/reflection/v1/reflection.proto",
  package: "grpc.reflection.v1",
  syntax: "proto3",
  messageType: Object.entries(MESSAGES).map(([name, { oneof, fields }]) => ({
    name,
    field: fields.map(field),
    oneofDecl: oneof ? [{ name: oneof }] : [],
  })),
  service: [
    {
      name: "ServerReflection",
      method: [
        {
          name: "ServerReflectionInfo",
          inputType: ".grpc.reflection.v1.ServerReflectionRequest",
          outputType: ".grpc.reflection.v1.ServerReflectionResponse",
          clientStreaming: true,
          serverStreaming: true,
        },
      ],
    },
  ],
});

/** The service, for `router.service` and clients. */
export const ReflectionService = createFileRegistry(file, () => undefined).getService(REFLECTION) as DescService;

/** The question of a `ServerReflectionRequest`. */
type Question =
  | {
      readonly case: "listServices" | "fileByFilename" | "fileContainingSymbol" | "allExtensionNumbersOfType";
      value: string;
    }
  | {
      readonly case: "fileContainingExtension";
      value: { readonly containingType: string; readonly extensionNumber: number };
    }
  | { readonly case: undefined; value?: undefined };

interface Request extends MessageShape<DescService["methods"][number]["input"]> {
  readonly host: string;
  readonly messageRequest: Question;
}

/** Serves reflection for everything that a router serves so far, and for reflection itself. */
export function serveReflection(router: ConnectRouter): void {
  const services = [...new Set(router.handlers.map(({ service }) => service)), ReflectionService];
  const types = new Types(services);
  const method = async function* (requests: AsyncIterable<Request>): AsyncGenerator<object> {
    for await (const request of requests) {
      yield {
        validHost: request.host,
        originalRequest: request,
        messageResponse: types.answer(request.messageRequest),
      };
    }
  };
  router.service(ReflectionService, { serverReflectionInfo: method as never });
}

/** The proto files of some services, with everything that these import. */
class Types {
  readonly #names: string[];
  readonly #files = new Map<string, DescFile>();
  readonly #registry;

  constructor(services: readonly DescService[]) {
    this.#names = services.map(({ typeName }) => typeName).sort();
    for (const service of services) this.#add(service.file);
    this.#registry = createRegistry(...this.#files.values());
  }

  answer(question: Question): object {
    const files = this.#find(question);
    if (files) return { case: "fileDescriptorResponse", value: { fileDescriptorProto: files.map(serialize) } };
    if (question.case === "listServices") {
      return { case: "listServicesResponse", value: { service: this.#names.map((name) => ({ name })) } };
    }
    if (question.case === "allExtensionNumbersOfType" && this.#registry.getMessage(question.value)) {
      const value = { baseTypeName: question.value, extensionNumber: this.#extensionNumbers(question.value) };
      return { case: "allExtensionNumbersResponse", value };
    }
    const errorMessage = "nothing of this name is known here";
    return { case: "errorResponse", value: { errorCode: NOT_FOUND, errorMessage } };
  }

  /** Returns the requested file and everything that it imports, so that the caller need not ask again. */
  #find(question: Question): DescFile[] | undefined {
    const found = this.#findFile(question);
    return found && [...withImports(found)];
  }

  #findFile(question: Question): DescFile | undefined {
    switch (question.case) {
      case "fileByFilename":
        return this.#files.get(question.value);
      case "fileContainingSymbol": // A method or a field is found through its service or message.
        return (this.#registry.get(question.value) ?? this.#registry.get(question.value.replace(/\.[^.]*$/, "")))?.file;
      case "fileContainingExtension": {
        const { containingType, extensionNumber } = question.value;
        const message = this.#registry.getMessage(containingType);
        return message && this.#registry.getExtensionFor(message, extensionNumber)?.file;
      }
      default:
        return undefined;
    }
  }

  #extensionNumbers(typeName: string): number[] {
    const numbers: number[] = [];
    for (const type of this.#registry) {
      if (type.kind === "extension" && type.extendee.typeName === typeName) numbers.push(type.number);
    }
    return numbers.sort((a, b) => a - b);
  }

  #add(added: DescFile): void {
    for (const each of withImports(added)) this.#files.set(each.proto.name, each);
  }
}

function withImports(first: DescFile): Set<DescFile> {
  const found = new Set([first]);
  for (const each of found) for (const imported of each.dependencies) found.add(imported);
  return found;
}

function serialize(each: DescFile): Uint8Array {
  return toBinary(FileDescriptorProtoSchema, each.proto);
}
