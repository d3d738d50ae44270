/** Limits and times that all SDKs share, as proto/constants.json has them. Sizes are in bytes, times in milliseconds. */

export const MAX_MESSAGE = 4 * 1024 * 1024;
/** In characters. */
export const MAX_NAME = 256;
/** In characters. */
export const MAX_VERSION = 128;
/** In characters. */
export const MAX_PATTERN = 4096;
export const MAX_SERVICES = 1024;
export const MAX_INSTANCES = 10_000;
export const MAX_LAUNCH_CONFIG = 65_536;
/** In characters. */
export const MAX_LOG_TEXT = 8192;

export const DIAL_TIMEOUT = 2_000;
export const FIRST_REDIAL = 200;
export const MAX_REDIAL = 10_000;
/** Between two tries to reach the runtime after the one that launched a detached plugin. */
export const NEAR_REDIAL = 1_000;
export const LINK_CLOSE_TIMEOUT = 2_000;
