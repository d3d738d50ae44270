/** Whose runtime is dialled: sockets of other users, and on the way to them. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { after, before, describe, test } from "node:test";
import { dial } from "../src/dial.js";
import { ConfigError, UntrustedPeerError } from "../src/errors.js";
import { checkListener, type TrustedUsers, trustedUsers } from "../src/peerUsers.js";

const ROOT = 0;
const SELF = process.geteuid?.() ?? ROOT;
const OTHER = 65_534;
/** Root alone can make files of another user. Anybody else takes its own for another's, by not trusting itself. */
const TRUSTED: TrustedUsers = new Set(SELF === ROOT ? [ROOT] : [ROOT, SELF]);
const isRoot = SELF === ROOT;

describe("a socket in the file system", () => {
  let directory: string;
  const servers: Server[] = [];

  async function listen(path: string): Promise<Server> {
    const server = createServer();
    servers.push(server);
    server.listen(path);
    await once(server, "listening");
    return server;
  }

  /** Gives an entry to another user, and the users that are trusted then. */
  function giveAway(path: string): TrustedUsers {
    if (isRoot) lchownSync(path, OTHER, OTHER);
    return isRoot ? TRUSTED : new Set([ROOT]);
  }

  before(() => {
    directory = mkdtempSync(join(realpathSync(tmpdir()), "plugmux-"));
  });

  after(() => {
    for (const server of servers) server.close();
    rmSync(directory, { recursive: true });
  });

  function make(name: string, mode: number): string {
    const path = join(directory, name);
    mkdirSync(path);
    chmodSync(path, mode);
    return path;
  }

  test("of a trusted user is taken, over links, dots and sticky directories too", async () => {
    const sticky = make("sticky", 0o1777);
    await listen(join(sticky, "s"));
    symlinkSync("sticky/../sticky", join(directory, "link"));
    symlinkSync(join(directory, "link", "s"), join(sticky, "to"));
    for (const path of [join(sticky, "s"), join(directory, "link/./s"), join(sticky, "to")]) {
      await checkListener(path, TRUSTED);
      await checkListener(relative(process.cwd(), path), TRUSTED);
    }
  });

  test("of another user is refused, and nothing is sent to it", async () => {
    const path = join(make("foreign", 0o755), "s");
    const server = await listen(path);
    server.on("connection", () => assert.fail("a connection was made"));
    const users = giveAway(path);
    await assert.rejects(dial(`unix:${path}`, users), (error: Error) => {
      assert.ok(error instanceof UntrustedPeerError);
      assert.match(error.message, /nothing was sent there.*belongs to the user with id.*PLUGMUX_PEER_USERS/);
      return true;
    });
    await checkListener(path, new Set([...users, OTHER, SELF]));
  });

  const faults: [what: string, make: (at: string) => string, message: RegExp][] = [
    [
      "in a directory that others may write to",
      (at) => {
        chmodSync(at, 0o757);
        return join(at, "s");
      },
      /can be written to by other users \(mode 757\)/,
    ],
    [
      "beneath one that a group may write to",
      (at) => {
        mkdirSync(join(at, "below"));
        chmodSync(at, 0o775);
        return join(at, "below/../s");
      },
      /can be written to by other users \(mode 775\)/,
    ],
    [
      "behind a link in one that others may write to",
      (at) => {
        mkdirSync(join(at, "open"));
        symlinkSync("../s", join(at, "open/link"));
        chmodSync(join(at, "open"), 0o777);
        return join(at, "open/link");
      },
      /open can be written to/,
    ],
    [
      "behind links without an end",
      (at) => {
        symlinkSync("loop", join(at, "loop"));
        return join(at, "loop");
      },
      /too many symbolic links/,
    ],
    [
      "that is a file",
      (at) => {
        writeFileSync(join(at, "file"), "");
        return join(at, "file");
      },
      /is not a socket/,
    ],
    [
      "beneath a file",
      (at) => {
        writeFileSync(join(at, "file"), "");
        return join(at, "file/s");
      },
      /is not a directory/,
    ],
  ];
  for (const [index, [what, arrange, message]] of faults.entries()) {
    test(`${what} is refused`, async () => {
      const at = make(`fault${index}`, 0o755);
      await listen(join(at, "s"));
      await assert.rejects(checkListener(arrange(at), TRUSTED), { name: "UntrustedPeerError", message });
    });
  }

  test("behind another user's link in a sticky directory is refused", async () => {
    const at = make("shared", 0o1777);
    await listen(join(directory, "honest"));
    const link = join(at, "link");
    symlinkSync("../honest", link);
    const users = giveAway(link);
    await assert.rejects(checkListener(link, users), { name: "UntrustedPeerError" });
  });
});

describe("an abstract socket", { skip: process.platform !== "linux" && "only Linux has them" }, () => {
  const LISTEN = `
import socket, sys
listening = []
for name in sys.argv[1:]:
    listening.append(socket.socket(socket.AF_UNIX)); listening[-1].bind(eval(name)); listening[-1].listen()
print("ready", flush=True)
sys.stdin.read()`;

  /** Lets a process of a user listen at names, which are given as Python writes bytes. */
  async function listen(names: string[], uid: number, check: () => Promise<void>): Promise<void> {
    const user = isRoot ? { uid, gid: uid } : {};
    const child = spawn("python3", ["-c", LISTEN, ...names], { stdio: ["pipe", "pipe", "inherit"], cwd: "/", ...user });
    const exited = once(child, "exit");
    await once(child.stdout, "data");
    try {
      await check();
    } finally {
      child.stdin.end();
      await exited;
    }
  }

  const name = `plugmux-test-${process.pid}`;

  test("of a trusted user is taken, until another listens there", async () => {
    let recheck!: () => Promise<void>;
    await listen([`b"\\0${name}"`], SELF, async () => {
      recheck = await checkListener(`@${name}`, TRUSTED);
      await recheck();
    });
    await assert.rejects(recheck(), { code: "ECONNREFUSED" });
    await listen([`b"\\0${name}"`], SELF, () => assert.rejects(recheck(), /another process has begun to listen/));
  });

  test("of another user is refused", async () => {
    const users = isRoot ? TRUSTED : new Set([ROOT]);
    await listen([`b"\\0${name}"`], OTHER, async () => {
      await assert.rejects(checkListener(`@${name}`, users), {
        name: "UntrustedPeerError",
        message: /process \d+ of the user with id \d+ listens there/,
      });
      await checkListener(`@${name}`, new Set([...users, OTHER, SELF]));
    });
  });

  test("whose name another one imitates is refused", async () => {
    await listen([`b"\\0${name}@x"`, `b"\\0${name}\\0x"`], SELF, async () => {
      await assert.rejects(checkListener(`@${name}@x`, TRUSTED), /several sockets/);
    });
  });

  test("where nobody listens is told as such", async () => {
    await assert.rejects(checkListener("@plugmux-test-nobody", TRUSTED), { code: "ECONNREFUSED" });
  });
});

describe("trusted users", () => {
  test("are this user, root, and those that are named", async () => {
    assert.deepEqual(await trustedUsers([], {}), new Set([ROOT, SELF]));
    assert.ok((await trustedUsers(["*"], {})).has("*"));
    assert.ok((await trustedUsers([], { PLUGMUX_PEER_USERS: "5,*" })).has("*"));
    const users = await trustedUsers(["root", 5], { PLUGMUX_PEER_USERS: " 1234, root,," });
    assert.deepEqual(users, new Set([ROOT, SELF, 5, 1234]));
  });

  test("must be known", async () => {
    for (const user of ["no-such-user", "-u", "a b"]) {
      await assert.rejects(trustedUsers([user], {}), ConfigError);
      await assert.rejects(trustedUsers([], { PLUGMUX_PEER_USERS: user }), /is not a user of this system/);
    }
  });
});
