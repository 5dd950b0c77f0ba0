import { Client } from "@protojobs/client";

const [to = "ann@example.com"] = process.argv.slice(2);
const client = new Client();

const { jobId } = await client.dispatch("send_email", { to }, { queue: "emails" });
console.log(jobId);
console.log(await client.wait(jobId, { timeout: 60 }));

await client.close();
