import { readFileSync } from "node:fs";

import { fromJsonString } from "@bufbuild/protobuf";
import { JobIds, type Client, type DispatchResult } from "@protojobs/client";
import { JobSpecSchema, type JobSpec } from "@protojobs/client/proto";

import { readNumber, UsageError, withClient, type Arguments } from "./arguments.js";
import { emit, jobLine } from "./lines.js";

const DEFAULT_SPEC = '{"kind": "echo"}';
const STDIN = 0;
// Dispatches that share a stream: as many as its frames under way can hold.
const AT_ONCE = 4000;

/** Dispatches N jobs of one spec, and with `--wait` waits for them. */
export async function dispatch(given: Arguments): Promise<void> {
  const spec = readSpec(given);
  const ids = new JobIds();
  const began = performance.now();
  const specs = Array.from({ length: readNumber("n", given.n) }, () => ({ ...spec, id: spec.id || ids.next() }));
  const dispatchAll = MODES[given.mode];
  if (dispatchAll === undefined) throw new UsageError("--mode is single, batch or stream");
  await withClient(
    given,
    async (client) => {
      const results = await dispatchAll(client, specs);
      if (given.quiet) {
        tellAll(results, (performance.now() - began) / 1000);
        return;
      }
      for (const result of results) tell(result);
      if (given.wait === undefined) return;
      const timeout = readNumber("wait", given.wait);
      await Promise.all(
        results.map(async (result) => {
          emit(jobLine("finished", await client.waitFinal(result.jobId, { timeout })));
        }),
      );
    },
    { streaming: given.mode === "stream" },
  );
}

type Send = (client: Client, specs: readonly JobSpec[]) => Promise<DispatchResult[]>;

const send =
  (atOnce: number): Send =>
  async (client, specs) => {
    const results: DispatchResult[] = [];
    const left = specs.entries();
    const lane = async (): Promise<void> => {
      for (const [place, spec] of left) results[place] = await client.dispatchSpec(spec);
    };
    await Promise.all(Array.from({ length: Math.min(atOnce, specs.length) }, lane));
    return results;
  };

const MODES: Readonly<Record<string, Send>> = {
  single: send(1),
  batch: (client, specs) => client.dispatchSpecs(specs),
  stream: send(AT_ONCE),
};

function readSpec({ spec: file, queue }: Arguments): JobSpec {
  try {
    const text = file === undefined ? DEFAULT_SPEC : readFileSync(file === "-" ? STDIN : file, "utf8");
    const spec = fromJsonString(JobSpecSchema, text);
    return { ...spec, queue };
  } catch (error) {
    throw new UsageError(`--spec: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function tellAll(results: readonly DispatchResult[], seconds: number): void {
  for (const result of results) if ("error" in result) throw result.error;
  emit({ event: "dispatched_all", jobs: results.length, seconds });
}

function tell(result: DispatchResult): void {
  if ("error" in result) throw result.error;
  emit({ event: "dispatched", job_id: result.jobId, outcome: result.outcome, state: result.state });
}
