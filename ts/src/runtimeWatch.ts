/**
 * No orphans: a launched plugin ends when its runtime's process has. As a rule the end of the link tells; but a child that
 * the runtime has forked may hold the other end of it, and keeps the link open.
 */

import { readFileSync } from "node:fs";

const INTERVAL = 1_000;

/**
 * Calls `died` once when a process has ended: within a second, where the event loop is not blocked. Node cannot wait for
 * a process that it has not started, so it is looked at each second. One that is not there at the beginning, as in
 * another process name space, is not watched.
 *
 * @param pid process id of the runtime; 0 where it is not known.
 * @returns ends the watch.
 */
export function watchProcess(pid: number, died: () => void, interval = INTERVAL): () => void {
  const incarnation = pid > 0 ? incarnationOf(pid) : undefined;
  if (incarnation === undefined) return () => {};
  const timer = setInterval(() => {
    if (incarnationOf(pid) === incarnation) return;
    clearInterval(timer);
    died();
  }, interval);
  timer.unref();
  return () => clearInterval(timer);
}

/** What tells a process from a later one with the same id, where the system has that; undefined when it has ended. */
function incarnationOf(pid: number): string | undefined {
  if (process.platform !== "linux") return isThere(pid) ? "" : undefined;
  try {
    const status = readFileSync(`/proc/${pid}/stat`, "latin1");
    const [state = "", ...fields] = status.slice(status.lastIndexOf(")") + 2).split(" ");
    return "ZX".includes(state) ? undefined : fields[18]; // when it began, field 22 of proc_pid_stat(5)
  } catch {
    return undefined;
  }
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
