import { jsonLogger } from "@protojobs/client";
import { EXIT_CODES, Worker } from "@protojobs/worker";

const worker = new Worker({ queues: ["emails"], logger: jsonLogger() });

worker.handle(
  "send_email",
  async (job, { to }) => {
    job.progress(0.5, "on its way");
    job.log.info("sent");
    return { sent: to };
  },
  {
    parse: (data) => {
      if (typeof data?.to !== "string") throw new TypeError("to must be a string");
      return { to: data.to };
    },
    timeout: 30,
  },
);

process.exitCode = EXIT_CODES[await worker.run()];
