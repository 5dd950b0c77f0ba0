import { readFileSync, statSync } from "node:fs";

import { Code } from "@connectrpc/connect";

import { UnauthenticatedError } from "./errors.js";

/** A token by value, or in a file that may change (a projected Kubernetes secret). */
export class Token {
  #value: string | undefined;
  readonly #file: string | undefined;
  #changedAt = -1;

  constructor(value: string | undefined, file: string | undefined) {
    this.#value = value;
    this.#file = file;
  }

  /**
   * Returns the `authorization` header of a call, or undefined where there is no token.
   *
   * While a file is being replaced it may be empty or gone: the last token stays.
   *
   * @throws UnauthenticatedError where the file has never held a token.
   */
  header(): string | undefined {
    if (this.#file !== undefined) this.#read(this.#file);
    return this.#value === undefined ? undefined : `Bearer ${this.#value}`;
  }

  #read(file: string): void {
    try {
      const { mtimeMs } = statSync(file);
      if (mtimeMs !== this.#changedAt) {
        const value = readFileSync(file, "utf8").trim();
        if (value !== "") {
          this.#value = value;
          this.#changedAt = mtimeMs;
        }
      }
    } catch (error) {
      if (this.#value === undefined) throw refused("the token file cannot be read", error);
    }
    if (this.#value === undefined) throw refused("the token file is empty");
  }
}

function refused(message: string, cause?: unknown): UnauthenticatedError {
  return new UnauthenticatedError(message, { code: Code.Unauthenticated, reason: "UNAUTHENTICATED", cause });
}
