import { Client } from "@protojobs/client";

/** The program was called in a way that means nothing. */
export class UsageError extends Error {}

/** What the command line says. */
export interface Arguments {
  readonly addr?: string | undefined;
  readonly queue: string;
  readonly n: string;
  readonly spec?: string | undefined;
  readonly mode: string;
  readonly wait?: string | undefined;
  readonly "job-id"?: string | undefined;
  readonly in: string;
  readonly kind: string;
  readonly slots: string;
  readonly kinds?: string | undefined;
  readonly grace: string;
  readonly "health-file"?: string | undefined;
  /** Nothing is said of single jobs. */
  readonly quiet: boolean;
  readonly dir?: string | undefined;
}

/** Reads a number that is not negative. */
export function readNumber(name: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0)) throw new UsageError(`--${name} must be a number`);
  return value;
}

/** Reads what a command cannot do without. */
export function required(name: string, value: string | undefined): string {
  if (value === undefined) throw new UsageError(`--${name} is needed`);
  return value;
}

/** Runs something with a client that is closed at the end. */
export async function withClient(
  { addr }: Arguments,
  use: (client: Client) => Promise<void>,
  options: { readonly streaming?: boolean } = {},
): Promise<void> {
  const client = new Client({ address: addr, ...options });
  try {
    await use(client);
  } finally {
    await client.close();
  }
}
