/** What a runtime accepts as the name and the version of a plugin. */

import { ConfigError } from "./errors.js";
import { isPattern } from "./pattern.js";

/** Any text without control characters. */
const NAME = /^[^\u0000-\u001f\u007f-\u009f]{1,256}$/u;

/** What `golang.org/x/mod/semver` calls valid: `v1`, `v1.2`, or a semantic version with a leading "v". */
const NUMBER = "(?:0|[1-9]\\d*)";
const IDENTIFIER = "(?:0|[1-9]\\d*|\\d*[A-Za-z-][0-9A-Za-z-]*)";
const PRERELEASE = `(?:-${IDENTIFIER}(?:\\.${IDENTIFIER})*)?`;
const BUILD = "(?:\\+[0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*)?";
const VERSION = new RegExp(`^v${NUMBER}(?:\\.${NUMBER}(?:\\.${NUMBER}${PRERELEASE}${BUILD})?)?$`);

const MAX_VERSION = 128;

export function isName(text: string): boolean {
  return NAME.test(text);
}

export function isVersion(text: string): boolean {
  return text.length <= MAX_VERSION && VERSION.test(text);
}

/**
 * Checks what a plugin says of itself, before a runtime does.
 *
 * @throws ConfigError when a runtime would refuse it.
 */
export function checkRegistration(name: string, version: string, pattern?: string): void {
  if (!isName(name)) {
    const rule = "it must have 1 to 256 characters and no control characters";
    throw new ConfigError(`the plugin name ${shown(name)} is not valid: ${rule}`);
  }
  if (!isVersion(version)) {
    const rule = 'it must be a semantic version with a leading "v", such as "v1.2.3"';
    throw new ConfigError(`the version ${shown(version)} of plugin ${shown(name)} is not valid: ${rule}`);
  }
  if (pattern !== undefined && !isPattern(pattern)) {
    const rule = 'its components must be "*", "**", or letters, digits and ._:-';
    throw new ConfigError(`the secrets pattern ${shown(pattern)} of plugin ${shown(name)} is not valid: ${rule}`);
  }
}

/** A text of any origin as it may stand in an error. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}
