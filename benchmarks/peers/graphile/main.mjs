// Makes and runs jobs of Graphile Worker for the comparison in docs/benchmarks.md: node main.mjs CONFIG, a JSON object.
import { setTimeout as sleep } from "node:timers/promises";

import { Logger, makeWorkerUtils, run, runMigrations } from "graphile-worker";

// The configuration that the performance page of Graphile Worker measures: 24 slots, jobs locked and completed by batches.
const CONCURRENT_JOBS = 24;
const BATCHES = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
const POLL_MS = 50;
const TELL_EVERY_MS = 50;

const config = JSON.parse(process.argv[2]);
const logger = new Logger(() => (level, message) => {
  if (level === "error") console.error(message);
});
const connection = { connectionString: config.dsn, logger };

/** Prints one line of JSON. */
function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** Returns the monotonic clock in nanoseconds, exact to a microsecond. */
function monotonic() {
  return Number(process.hrtime.bigint());
}

/** Returns a job: its number, when it was meant to be sent by the monotonic clock (0: untimed), and padding. */
function job(n, t) {
  const bare = `{"n":${n},"t":${t},"pad":""}`.length;
  return { n, t, pad: "x".repeat(Math.max(0, config.payload - bare)) };
}

/** Runs jobs until SIGTERM; marks each that runs, and counts every run. */
async function work() {
  const latencies = [];
  let seen = Buffer.alloc(1 << 16);
  let runs = 0;
  let last = -1;
  const noop = ({ n, t }) => {
    if (t > 0) latencies.push([n, monotonic() - t]);
    const place = n >> 3;
    if (place >= seen.length) seen = Buffer.concat([seen], 2 * place);
    seen[place] |= 1 << (n & 7);
    last = Math.max(last, place);
    runs += 1;
    if (runs === 1) say({ phase: "ran", jobs: 1 });
  };
  const runner = await run({
    ...connection,
    taskList: { noop },
    noHandleSignals: true,
    parsedCronItems: [],
    preset: {
      worker: { concurrentJobs: CONCURRENT_JOBS, maxPoolSize: CONCURRENT_JOBS + 1, pollInterval: POLL_MS, ...BATCHES },
    },
  });
  say({ phase: "ready" });
  let told = 0;
  const telling = setInterval(() => {
    if (runs !== told) say({ phase: "ran", jobs: (told = runs) });
  }, TELL_EVERY_MS);
  process.once("SIGTERM", () => runner.stop());
  await runner.promise;
  clearInterval(telling);
  say({ phase: "stopped", jobs: runs, seen: seen.subarray(0, last + 1).toString("hex"), latencies });
}

/** Makes jobs, and says how many in what time. */
async function produce() {
  const utils = await makeWorkerUtils({ ...connection, maxPoolSize: Math.max(config.callers, 2) });
  say({ phase: "began" });
  const began = monotonic();
  const jobs = await (config.interval > 0 ? drip(utils) : flood(utils));
  say({ phase: "produced", jobs, seconds: (monotonic() - began) / 1e9 });
  await utils.release();
}

/** Lets so many callers make jobs as fast as they can. */
async function flood(utils) {
  const end = config.seconds > 0 ? monotonic() + config.seconds * 1e9 : Infinity;
  const jobs = config.jobs > 0 ? config.jobs : Infinity;
  let made = 0;
  let next = 0;
  const call = async () => {
    while (monotonic() < end && next < jobs) {
      const first = next;
      next = Math.min(next + config.batch, jobs);
      const count = next - first;
      if (config.batch === 1) {
        await utils.addJob("noop", job(first, 0));
      } else {
        const numbers = Array.from({ length: count }, (_, place) => first + place);
        await utils.addJobs(numbers.map((n) => ({ identifier: "noop", payload: job(n, 0) })));
      }
      made += count;
    }
  };
  await Promise.all(Array.from({ length: config.callers }, call));
  return made;
}

/** Makes one job each interval, whatever became of those before. */
async function drip(utils) {
  const interval = config.interval * 1e9;
  const start = monotonic() + interval;
  const calls = [];
  for (let n = 0; n < config.jobs; n += 1) {
    const due = Math.round(start + n * interval);
    await sleep(Math.max(0, (due - monotonic()) / 1e6));
    calls.push(utils.addJob("noop", job(n, due)));
  }
  await Promise.all(calls);
  return config.jobs;
}

switch (config.role) {
  case "migrate":
    await runMigrations(connection);
    break;
  case "work":
    await work();
    break;
  default:
    await produce();
}
