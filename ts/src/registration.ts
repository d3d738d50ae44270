/** What a runtime accepts as the name and the version of a plugin. */

import type { RegisterPluginRequest } from "../../gen/ts/plugins/v1/plugins_pb.js";
import { ConfigError } from "./errors.js";
import {
  MAX_JSON_SCHEMA,
  MAX_LIST,
  MAX_MESSAGE_TYPE,
  MAX_NAME,
  MAX_PROTOCOL_VERSIONS,
  MAX_SERVICES,
  MAX_VERSION,
} from "./limits.js";
import { isPattern } from "./pattern.js";

/** Any text without control characters. */
const NAME = new RegExp(`^[^\\u0000-\\u001f\\u007f-\\u009f]{1,${MAX_NAME}}$`, "u");

/** What `golang.org/x/mod/semver` calls valid: `v1`, `v1.2`, or a semantic version with a leading "v". */
const NUMBER = "(?:0|[1-9]\\d*)";
const IDENTIFIER = "(?:0|[1-9]\\d*|\\d*[A-Za-z-][0-9A-Za-z-]*)";
const PRERELEASE = `(?:-${IDENTIFIER}(?:\\.${IDENTIFIER})*)?`;
const BUILD = "(?:\\+[0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*)?";
const VERSION = new RegExp(`^v${NUMBER}(?:\\.${NUMBER}(?:\\.${NUMBER}${PRERELEASE}${BUILD})?)?$`);

const SERVICE = /^[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*$/;

export function isName(text: string): boolean {
  return NAME.test(text);
}

export function isVersion(text: string): boolean {
  return text.length <= MAX_VERSION && VERSION.test(text);
}

/**
 * Checks what a plugin says of itself, as a runtime does at registration.
 *
 * @throws ConfigError when a runtime would refuse it.
 */
export function checkRegistration(request: RegisterPluginRequest): void {
  const { name, version, protocolVersions, metadata } = request;
  const services = [...request.services, ...(request.instances?.services ?? [])];
  const fault = (what: string, rule: string): ConfigError =>
    new ConfigError(`${what} of plugin ${shown(name)} is not valid: ${rule}`);
  if (!isName(name)) throw fault("the name", `it must have 1 to ${MAX_NAME} characters and no control characters`);
  if (!isVersion(version)) {
    throw fault(`the version ${shown(version)}`, 'it must be semantic with a leading "v", such as "v1.2.3"');
  }
  if (services.length > MAX_SERVICES) throw fault("the list of services", `it may have ${MAX_SERVICES} entries`);
  const wrong = services.find((service) => !SERVICE.test(service));
  if (wrong !== undefined) throw fault(`the service ${shown(wrong)}`, "it must be the full name of a proto service");
  if (protocolVersions.some((number) => number < 1)) throw fault("a protocol version", "the lowest is 1");
  if (metadata.case === "secretsProvider" && !isPattern(metadata.value.pattern)) {
    throw fault(
      `the secrets pattern ${shown(metadata.value.pattern)}`,
      'its components must be "*", "**", or made of letters, digits and ._:-',
    );
  }
  for (const [what, size, limit] of sizesOf(request, services)) {
    if (size > limit) throw fault("the registration", `it has ${size} ${what}, over the limit of ${limit}`);
  }
}

/** The sizes of the parts of a registration, with their limits. */
function sizesOf(request: RegisterPluginRequest, services: string[]): [what: string, size: number, limit: number][] {
  const schemas = [request.configuration, request.instances?.configuration];
  return [
    ["protocol versions", request.protocolVersions.length, MAX_PROTOCOL_VERSIONS],
    ["characters of names of services", charactersOf(services), MAX_LIST],
    [
      "characters of capabilities and labels",
      charactersOf([...request.capabilities, ...Object.entries(request.labels).flat()]),
      MAX_LIST,
    ],
    ...schemas.flatMap((schema): [string, number, number][] => [
      ["characters of a JSON schema", charactersOf([schema?.jsonSchema ?? ""]) - 1, MAX_JSON_SCHEMA],
      ["characters of a message type", charactersOf([schema?.messageType ?? ""]) - 1, MAX_MESSAGE_TYPE],
    ]),
  ];
}

/** The characters of some texts, and one more for each of them. */
function charactersOf(texts: readonly string[]): number {
  return texts.reduce((count, text) => count + [...text].length + 1, 0);
}

/** A text of any origin as it may stand in an error. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}
