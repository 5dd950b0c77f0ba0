interface Pending<T> {
  readonly value: T;
  resolve(): void;
  reject(error: unknown): void;
}

/** The request side of a stream: one message at a time, so that whoever writes knows when each has left. */
export class Sink<T> implements AsyncIterable<T> {
  #waiting: Pending<T> | undefined;
  #leaving: Pending<T> | undefined;
  #ended = false;
  #dropped: { readonly error: unknown } | undefined;
  #asked: ((result: IteratorResult<T, undefined>) => void) | undefined;

  /**
   * Hands a message to the transport. Settles once the connection has taken it, which is when the transport asks for
   * the next one; rejects if the stream ends before. One write at a time.
   */
  write(value: T): Promise<void> {
    if (this.#dropped !== undefined) return Promise.reject(asError(this.#dropped.error));
    return new Promise<void>((resolve, reject) => {
      this.#waiting = { value, resolve, reject };
      this.#answer();
    });
  }

  /** Says that no message follows. */
  end(): void {
    this.#ended = true;
    this.#answer();
  }

  /** Ends the stream under whoever writes. */
  drop(error: unknown): void {
    this.#dropped ??= { error };
    this.#ended = true;
    for (const pending of [this.#leaving, this.#waiting]) pending?.reject(asError(error));
    this.#leaving = this.#waiting = undefined;
    this.#answer();
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return {
      next: () =>
        new Promise((resolve) => {
          this.#leaving?.resolve();
          this.#leaving = undefined;
          this.#asked = resolve;
          this.#answer();
        }),
      return: () => {
        this.drop(new Error("the transport has ended the stream"));
        return Promise.resolve({ done: true, value: undefined });
      },
      throw: (error) => {
        this.drop(error);
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  #answer(): void {
    const asked = this.#asked;
    if (asked === undefined) return;
    if (this.#waiting !== undefined) {
      this.#leaving = this.#waiting;
      this.#waiting = undefined;
      this.#asked = undefined;
      asked({ done: false, value: this.#leaving.value });
    } else if (this.#ended) {
      this.#asked = undefined;
      asked({ done: true, value: undefined });
    }
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
