import { describe, expect, test } from "vitest";

import { originOf, parseAddress } from "../src/address.js";
import { resolveOptions } from "../src/options.js";

describe("settings", () => {
  test("come from the environment where nothing is said", () => {
    const options = resolveOptions(
      {},
      { PROTOJOBS_ADDRESS: "jobs.example:443", PROTOJOBS_TOKEN: "t", PROTOJOBS_CALL_TIMEOUT: "3" },
    );

    expect(options.endpoints).toEqual([{ host: "jobs.example", port: 443, loopback: false }]);
    expect(options.token).toBe("t");
    expect(options.callTimeout).toBe(3);
  });

  test("that are given go before the environment, and a token file before its token", () => {
    const options = resolveOptions(
      { address: "localhost:1", tokenFile: "/t" },
      { PROTOJOBS_ADDRESS: "a:2", PROTOJOBS_TOKEN: "t" },
    );

    expect(options.endpoints[0]?.port).toBe(1);
    expect([options.token, options.tokenFile]).toEqual([undefined, "/t"]);
  });

  test("use TLS to other machines, and to this one where it is asked for", () => {
    expect(resolveOptions("127.0.0.1:50051", {}).usesTls).toBe(false);
    expect(resolveOptions("[::1]:50051", {}).usesTls).toBe(false);
    expect(resolveOptions("jobs.example:50051", {}).usesTls).toBe(true);
    expect(resolveOptions({ address: "jobs.example:50051", insecure: true }, {}).usesTls).toBe(false);
    expect(resolveOptions("localhost:50051", { PROTOJOBS_CA: "/ca.pem" }).usesTls).toBe(true);
  });

  test("that contradict each other are refused", () => {
    expect(() => resolveOptions({ token: "a", tokenFile: "b" }, {})).toThrow(TypeError);
    expect(() => resolveOptions({ cert: "a" }, {})).toThrow("cert and key belong together");
    expect(() => resolveOptions({ insecure: true, ca: "a" }, {})).toThrow(TypeError);
    expect(() => resolveOptions({ readDeadline: 0 }, {})).toThrow(RangeError);
    expect(() => resolveOptions({}, { PROTOJOBS_INSECURE: "perhaps" })).toThrow("PROTOJOBS_INSECURE");
  });
});

describe("an address", () => {
  test("may name several servers, IPv6 and a gRPC target", () => {
    const found = parseAddress("ipv6:[::1]:1,[2001:db8::1]:2");

    expect(found.map((endpoint) => originOf(endpoint, true))).toEqual(["https://[::1]:1", "https://[2001:db8::1]:2"]);
    expect(parseAddress("dns:///jobs.example:3")).toEqual([{ host: "jobs.example", port: 3, loopback: false }]);
  });

  test.each(["", " , ", "unix:/run/jobs.sock", "host:99999", "::1:1"])(
    "that names no server is refused: %j",
    (address) => {
      expect(() => parseAddress(address)).toThrow(RangeError);
    },
  );
});
