/** Limits and times that all SDKs share, as proto/constants.json has them. Sizes are in bytes, times in milliseconds. */

/** The longest time that timers of Node.js can wait; a longer one ends at once. */
export const MAX_TIMER = 0x7fff_ffff;

export const MAX_MESSAGE = 4 * 1024 * 1024;
/** In characters. */
export const MAX_NAME = 256;
/** In characters. */
export const MAX_VERSION = 128;
/** In characters. */
export const MAX_PATTERN = 4096;
export const MAX_SERVICES = 1024;
export const MAX_PROTOCOL_VERSIONS = 256;
/** In characters. */
export const MAX_JSON_SCHEMA = 262_144;
/** In characters. */
export const MAX_MESSAGE_TYPE = 512;
/** The names of services together, or the capabilities and labels, in characters and one more for each text. */
export const MAX_LIST = 65_536;
export const MAX_INSTANCES = 10_000;
export const MAX_LAUNCH_CONFIG = 65_536;
/** In characters. */
export const MAX_LOG_TEXT = 8192;

/** For the answer to a registration, where the launch does not say. */
export const REGISTRATION_TIMEOUT = 60_000;
export const DIAL_TIMEOUT = 2_000;
export const FIRST_REDIAL = 200;
export const MAX_REDIAL = 10_000;
/** Between two tries to reach the runtime after the one that launched a detached plugin. */
export const MAX_DETACHED_REDIAL = 1_000;
/** For the calls that an ending plugin serves. */
export const PLUGIN_DRAIN_TIMEOUT = 10_000;
export const LINK_CLOSE_TIMEOUT = 2_000;

/** Log records that wait to be sent; when there are more, the oldest are lost. */
export const MAX_QUEUED_RECORDS = 1000;
export const MAX_RECORDS_PER_REQUEST = 50;
export const LOG_SEND_TIMEOUT = 5_000;
/** Between two tries to send log records. */
export const LOG_RESEND_DELAY = 500;
/** For the records that wait when a link ends. */
export const LAST_LOG_SEND_TIMEOUT = 1_000;
