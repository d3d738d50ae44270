/**
 * Decides whose runtime a plugin may dial. Any user may listen at a path or an abstract name, and a plugin gives its
 * secrets to the runtime with which it registers. The user of this process and root are trusted, and so are the users
 * that `PLUGMUX_PEER_USERS` or the option `peerUsers` names.
 *
 * Node.js cannot ask for the user of a peer (SO_PEERCRED). So this module checks what only a trusted user can have set
 * up:
 *
 * - A socket in the file system belongs to the user who bound it. It and every directory and link on the way to it, from
 *   the root on, must belong to a trusted user, and no other user may write in those directories (where the sticky bit
 *   is set, an entry that belongs to a trusted user is safe). Then no other user can have put the socket there, or can
 *   put another one in its place.
 * - An abstract socket has no file. /proc/net/unix has the inode of the listening socket, and /proc/PID/fd says which
 *   process holds it; that process must be a trusted user's. If the inode is the same before and after connecting, the
 *   connection was made to that socket.
 *
 * - On Windows Node.js cannot find out whose a named pipe is. It connects to one only if the named users include `*`,
 *   which is every user.
 *
 * A listener whose user cannot be determined is refused.
 */

import { execFile } from "node:child_process";
import type { Stats } from "node:fs";
import { lstat, readdir, readFile, readlink, realpath } from "node:fs/promises";
import { promisify } from "node:util";
import { ConfigError, UntrustedPeerError } from "./errors.js";

export const PEER_USERS_VARIABLE = "PLUGMUX_PEER_USERS";

const ROOT = 0;
const WRITABLE_BY_OTHERS = 0o022;
const STICKY = 0o1000;
/** Symbolic links on the way to a socket, as the kernel bounds them. */
const MAX_LINKS = 40;
/** The flag of a socket that listens, in /proc/net/unix. */
const LISTENING = 0x10000;

/** Stands for every user. */
const ANYBODY = "*";

/** The ids of the users that are trusted; `*` if every user is. */
export type TrustedUsers = ReadonlySet<number | typeof ANYBODY>;

/**
 * The ids of this process' user, of root, and of the users that are named.
 *
 * @param named names or ids of further users, or `*` for every user; those in `PLUGMUX_PEER_USERS` count as well.
 * @throws ConfigError when a name is not known on this system.
 */
export async function trustedUsers(
  named: readonly (string | number)[] = [],
  env: NodeJS.ProcessEnv = process.env,
): Promise<TrustedUsers> {
  const users = new Set<number | typeof ANYBODY>([ROOT]);
  if (process.geteuid) users.add(process.geteuid());
  for (const user of [...named.map(String), ...(env[PEER_USERS_VARIABLE] ?? "").split(",")]) {
    if (user.trim() === ANYBODY) users.add(ANYBODY);
    else if (user.trim()) users.add(await userId(user.trim()));
  }
  return users;
}

async function userId(user: string): Promise<number> {
  if (/^\d+$/.test(user)) return Number(user);
  try {
    if (user.startsWith("-")) throw new Error("not a name");
    const { stdout } = await promisify(execFile)("id", ["-u", user]);
    return Number.parseInt(stdout, 10);
  } catch (error) {
    const rule = `${PEER_USERS_VARIABLE} and peerUsers take names and ids of users`;
    throw new ConfigError(`${JSON.stringify(user)} is not a user of this system; ${rule}`, { cause: error });
  }
}

/**
 * Checks a socket that is about to be connected to.
 *
 * @param name the path of the socket or the named pipe, or its abstract name behind `@`.
 * @returns a function to call once connected, before anything is sent.
 * @throws UntrustedPeerError if the listener is not a trusted user's, or that cannot be determined.
 */
export async function checkListener(name: string, users: TrustedUsers): Promise<() => Promise<void>> {
  if (users.has(ANYBODY)) return async () => {};
  if (process.platform === "win32") {
    throw untrusted(name, "Node.js cannot tell whose named pipe it is", `set ${PEER_USERS_VARIABLE}=*`);
  }
  if (!name.startsWith("@")) {
    await checkPath(name, users);
    return async () => {}; // No other user can have changed anything since.
  }
  const inode = await listenerInode(name);
  await checkHolders(inode, name, users);
  return async () => {
    if ((await listenerInode(name)) !== inode) throw untrusted(name, "another process has begun to listen there");
  };
}

function untrusted(
  name: string,
  what: string,
  help = `name it in ${PEER_USERS_VARIABLE} or in the option peerUsers`,
): UntrustedPeerError {
  return new UntrustedPeerError(
    `${name} may be another user's, and nothing was sent there: ${what}; if that user is trusted, ${help}`,
  );
}

// Sockets in the file system.

async function checkPath(path: string, users: TrustedUsers): Promise<void> {
  const names = (path.startsWith("/") ? path : `${await realpath(".")}/${path}`).split("/");
  const resolved: string[] = [];
  const pathOf = (): string => `/${resolved.join("/")}`;
  let directory = await lstat("/");
  checkOwner("/", directory, users, path);
  let links = 0;
  while (names.length > 0) {
    const name = names.shift();
    if (!name || name === ".") continue;
    if (!directory.isDirectory()) throw untrusted(path, `${pathOf()} is not a directory`);
    if (name === "..") {
      resolved.pop();
      directory = await lstat(pathOf());
      continue;
    }
    checkOnlyTrustedWrite(pathOf(), directory, path);
    resolved.push(name);
    const status = await lstat(pathOf());
    checkOwner(pathOf(), status, users, path);
    if (status.isSymbolicLink()) {
      if ((links += 1) > MAX_LINKS) throw untrusted(path, "there are too many symbolic links on the way to it");
      const target = await readlink(pathOf());
      resolved.pop();
      if (target.startsWith("/")) resolved.length = 0;
      directory = await lstat(pathOf());
      names.unshift(...target.split("/"));
    } else {
      directory = status;
    }
  }
  if (!directory.isSocket()) throw untrusted(path, `${pathOf()} is not a socket`);
}

function checkOwner(entry: string, { uid }: Stats, users: TrustedUsers, path: string): void {
  if (!users.has(uid)) throw untrusted(path, `${entry} belongs to the user with id ${uid}`);
}

/** Only its owner can replace an entry of a sticky directory, and that owner is checked. */
function checkOnlyTrustedWrite(entry: string, { mode }: Stats, path: string): void {
  if (mode & WRITABLE_BY_OTHERS && !(mode & STICKY)) {
    throw untrusted(path, `${entry} can be written to by other users (mode ${(mode & 0o7777).toString(8)})`);
  }
}

// Abstract sockets.

/** The inode of the socket that listens at an abstract name, which must be the only one. */
async function listenerInode(name: string): Promise<string> {
  const found = [];
  for (const line of (await readFile("/proc/net/unix", "utf8")).split("\n")) {
    const [, flags = "", inode = "", bound] = /^\S+ \S+ \S+ (\S+) \S+ \S+ +(\d+) (.*)$/.exec(line) ?? [];
    if (bound === name && Number.parseInt(flags, 16) & LISTENING) found.push(inode);
  }
  const [inode, other] = found;
  if (inode === undefined) throw Object.assign(new Error("nobody listens there"), { code: "ECONNREFUSED" });
  if (other !== undefined) throw untrusted(name, "several sockets that listen have a name that looks like it");
  return inode;
}

/**
 * The process that listens at a name, for a plugin that is to end its link when the process ends; 0 where it is not known, or
 * where several hold the socket.
 */
export async function listenerProcess(name: string): Promise<number> {
  if (process.platform !== "linux") return 0;
  try {
    const inode = await listenerInode(name);
    const holders: number[] = [];
    for (const pid of await readdir("/proc")) {
      if (/^\d+$/.test(pid) && (await holds(pid, `socket:[${inode}]`))) holders.push(Number(pid));
    }
    const [holder = 0, other] = holders;
    return other === undefined && holder !== process.pid ? holder : 0;
  } catch {
    return 0; // The check of the user reports what is wrong, if anything.
  }
}

/** Checks that every visible process that holds the socket is a trusted user's, and that there is at least one. */
async function checkHolders(inode: string, name: string, users: TrustedUsers): Promise<void> {
  let isHeld = false;
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid) || !(await holds(pid, `socket:[${inode}]`))) continue;
    const user = await effectiveUser(pid);
    if (user === undefined) continue; // It has ended.
    if (!users.has(user)) throw untrusted(name, `process ${pid} of the user with id ${user} listens there`);
    isHeld = true;
  }
  if (!isHeld) throw untrusted(name, "none of the processes that this user may look into listens there");
}

async function holds(pid: string, link: string): Promise<boolean> {
  try {
    for (const fd of await readdir(`/proc/${pid}/fd`)) {
      if ((await readlink(`/proc/${pid}/fd/${fd}`).catch(() => "")) === link) return true;
    }
  } catch {
    // It has ended, or is another user's.
  }
  return false;
}

async function effectiveUser(pid: string): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const user = /^Uid:\s+\d+\s+(\d+)/m.exec(status)?.[1];
  return user === undefined ? undefined : Number(user);
}
