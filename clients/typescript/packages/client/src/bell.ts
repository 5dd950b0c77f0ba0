/** Wakes the one who waits. A ring while nobody waits is kept. */
export class Bell {
  #rung = false;
  #wake: (() => void) | undefined;

  /** Wakes whoever waits, now or next. */
  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Waits for a ring. Returns false if none came within `ms` milliseconds. */
  async wait(ms?: number): Promise<boolean> {
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        const timer = ms === undefined ? undefined : setTimeout(resolve, ms);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = undefined;
    }
    const rung = this.#rung;
    this.#rung = false;
    return rung;
  }
}
