import { parseArgs } from "node:util";

import { ProtoJobsError } from "@protojobs/client";

import { dispatch } from "./dispatch.js";
import { cancel, failed, get, retry, schedule, stats, watch } from "./reading.js";
import { emit } from "./lines.js";
import { UsageError, type Arguments } from "./arguments.js";
import { vectors } from "./vectors.js";
import { work } from "./work.js";

const COMMANDS: Readonly<Record<string, (given: Arguments) => Promise<void>>> = {
  dispatch,
  get,
  cancel,
  retry,
  failed,
  stats,
  schedule,
  watch,
  work,
  vectors,
};

const USAGE = `usage: interop ${Object.keys(COMMANDS).join("|")} [--addr HOST:PORT] [--queue Q] [--n N] ...`;

async function main(): Promise<number> {
  try {
    const [name = "", ...rest] = process.argv.slice(2);
    const command = COMMANDS[name];
    if (command === undefined) throw new UsageError(`no command ${name}`);
    await command(readArguments(rest));
    return 0;
  } catch (error) {
    if (error instanceof UsageError) {
      process.stderr.write(`${error.message}\n${USAGE}\n`);
      return 2;
    }
    if (!(error instanceof ProtoJobsError)) throw error;
    emit({
      event: "error",
      code: error.status,
      reason: error.reason,
      fields: error.violations.map(({ field }) => field),
      message: error.message,
    });
    return 1;
  }
}

function readArguments(given: string[]): Arguments {
  try {
    const { values } = parseArgs({
      args: given,
      options: {
        addr: { type: "string" },
        queue: { type: "string", default: "default" },
        n: { type: "string", default: "1" },
        json: { type: "boolean" },
        spec: { type: "string" },
        mode: { type: "string", default: "single" },
        wait: { type: "string" },
        "job-id": { type: "string" },
        in: { type: "string", default: "0" },
        kind: { type: "string", default: "echo" },
        slots: { type: "string", default: "10" },
        kinds: { type: "string" },
        grace: { type: "string", default: "10" },
        "health-file": { type: "string" },
        quiet: { type: "boolean", default: false },
        dir: { type: "string" },
      },
    });
    return values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

process.exitCode = await main();
