import { describe, expect, test } from "vitest";

import { cut, failed } from "../src/outcomes.js";
import { Dryness, Prefetch, Reconnect } from "../src/pacing.js";

describe("text", () => {
  test("is cut to bytes of UTF-8, never inside a character", () => {
    expect(cut("žluť", 10)).toBe("žluť");
    expect(cut("žluť", 4)).toBe("žlu");
    expect(cut("žluť", 1)).toBe("");
    expect(cut("🚀🚀", 7)).toBe("🚀");
  });

  test("with a half of a pair becomes text that can be sent", () => {
    expect(cut("a\ud83d", 100)).toBe("a\ufffd");
  });
});

describe("a failure", () => {
  test("tells of the error and of its causes", () => {
    const cause = new RangeError("inner");
    const { error } = failed(new TypeError("outer", { cause }));

    expect(error).toMatchObject({ type: "TypeError", message: "outer" });
    expect(error.stack).toContain("Caused by: RangeError: inner");
  });

  test("of an error that cannot be shown is a failure all the same", () => {
    const hostile = {
      toString() {
        throw new Error("no");
      },
    };

    expect(failed(hostile).error).toMatchObject({ type: "object", message: "(the error cannot be shown)" });
  });

  test("of a class without a name of its own is called by its class", () => {
    class NoLuck extends Error {}

    expect(failed(new NoLuck("x")).error.type).toBe("NoLuck");
  });

  test("has a stack of at most 16 KiB", () => {
    const error = new Error("x");
    error.stack = "ž".repeat(20_000);

    expect(Buffer.byteLength(failed(error).error.stack)).toBe(16 * 1024);
  });
});

describe("pacing", () => {
  test("asks for more ahead where fast handlers run dry, and for less where all slots are held", () => {
    const prefetch = new Prefetch(10);
    for (let round = 0; round < 10; round += 1)
      prefetch.observe({ ended: 5000, running: 5, seconds: 0.25, starved: true });
    const fast = prefetch.jobs;
    for (let round = 0; round < 20; round += 1)
      prefetch.observe({ ended: 0, running: 10, seconds: 0.25, starved: false });

    expect(fast).toBe(5000);
    expect(prefetch.jobs).toBe(0);
  });

  test("counts slots as idle from when nothing is left until something comes", () => {
    const dryness = new Dryness();

    dryness.ranDry(1);
    dryness.ranDry(1.5);
    dryness.refilled(2);
    dryness.refilled(3);
    dryness.ranDry(4);

    expect(dryness.take(4.5)).toBe(1.5);
    expect(dryness.take(5)).toBe(0.5);
    dryness.refilled(5);
    expect(dryness.take(6)).toBe(0);
  });

  test("comes back within a second at first, later with jitter up to 10 s, for ever", () => {
    const bounds: [number, number][] = [];
    const reconnect = new Reconnect((low, high) => {
      bounds.push([low, high]);
      return high;
    });
    for (let round = 0; round < 6; round += 1) reconnect.wait();
    reconnect.welcomed();
    reconnect.wait();

    expect(bounds).toEqual([
      [0, 1],
      [0.2, 2],
      [0.2, 4],
      [0.2, 8],
      [0.2, 10],
      [0.2, 10],
      [0, 1],
    ]);
  });
});
