/**
 * Every error that this package raises by itself.
 *
 * ```text
 * PlugmuxError
 * ├── ConfigError            a setting or the launch configuration is not valid
 * ├── DialError              no runtime could be reached
 * │   └── UntrustedPeerError ... because whoever listens there may be another user
 * ├── RegistrationError      the runtime refused the plugin
 * ├── SessionClosedError     the mux session has ended; `cause` tells why, if something went wrong
 * │   ├── ProtocolViolation  ... because the peer broke a rule of yamux
 * │   └── SessionTimeout     ... because the peer stopped answering or reading
 * ├── GoAwayError            no stream can be opened any more; the streams in use go on
 * ├── StreamResetError       one stream was cut off; the session goes on
 * └── StreamRefused          the peer serves no raw stream of that name
 * ```
 */
export class PlugmuxError extends Error {
  override get name(): string {
    return this.constructor.name;
  }
}

/** A setting, an address, a registration or the launch configuration is not valid; the message says which and why. */
export class ConfigError extends PlugmuxError {}

/** No runtime could be reached at the address; the message says why and what to set. */
export class DialError extends PlugmuxError {}

/** What listens at the address is another user's, or cannot be told to be a trusted user's; nothing was sent to it. */
export class UntrustedPeerError extends DialError {}

/** The runtime refused the plugin or closed the link, or the plugin rejected its configuration; `cause` has the reason. */
export class RegistrationError extends PlugmuxError {}

/** The session has ended; every stream of it and every waiter is given this error. */
export class SessionClosedError extends PlugmuxError {
  /** What node's own streams say when a connection breaks, for code that switches on it. */
  readonly code = "ECONNRESET";
}

/** The peer broke a rule of yamux; the message names the frame and the rule. */
export class ProtocolViolation extends SessionClosedError {}

/** The peer did not answer a ping, or did not read, within the configured time. */
export class SessionTimeout extends SessionClosedError {}

/** The peer accepts no further streams, or the session has used up its stream ids. */
export class GoAwayError extends PlugmuxError {
  readonly code = "ECONNREFUSED";
}

/** A stream was reset, by the peer or for a fault of the peer's; the message says which. */
export class StreamResetError extends PlugmuxError {
  readonly code = "ECONNRESET";
}

/** The peer serves no raw stream of that name, or did not answer in time. */
export class StreamRefused extends PlugmuxError {}
