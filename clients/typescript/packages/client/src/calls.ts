import type { Connection } from "./connection.js";
import type { JobIds } from "./ids.js";
import type { Codec } from "./payload.js";

/** What every part of the client stands on. */
export abstract class Calls {
  protected readonly connection: Connection;
  protected readonly codec: Codec;
  protected readonly ids: JobIds;

  constructor(connection: Connection, codec: Codec, ids: JobIds) {
    this.connection = connection;
    this.codec = codec;
    this.ids = ids;
  }
}

/** One page of a list, and where the next one begins: empty on the last. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly next: string;
}

/** Reads page after page, each when the one before it has been used up. */
export async function* pages<T>(read: (token: string) => Promise<Page<T>>): AsyncGenerator<T, void, undefined> {
  let token = "";
  do {
    const page = await read(token);
    yield* page.items;
    token = page.next;
  } while (token !== "");
}
