/** Holds requests back until it is opened, or until its time is over. */
export class Gate {
  #state: "closed" | "open" | "late" = "closed";
  #waiting: ((isOpen: boolean) => void)[] = [];
  readonly #timer: NodeJS.Timeout;

  /** @param timeout milliseconds that requests wait at most. */
  constructor(timeout: number) {
    this.#timer = setTimeout(() => this.#settle("late"), timeout);
    this.#timer.unref();
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  open(): void {
    if (this.#state === "closed") this.#settle("open");
  }

  /** Calls `pass` once the gate is open, with false when its time is over first. */
  wait(pass: (isOpen: boolean) => void): void {
    if (this.#state === "closed") this.#waiting.push(pass);
    else pass(this.#state === "open");
  }

  #settle(state: "open" | "late"): void {
    clearTimeout(this.#timer);
    this.#state = state;
    for (const pass of this.#waiting.splice(0)) pass(state === "open");
  }
}
