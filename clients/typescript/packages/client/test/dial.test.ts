import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { Dial } from "../src/dial.js";
import { resolveOptions } from "../src/options.js";

let dial: Dial;

beforeEach(() => {
  dial = new Dial(resolveOptions("127.0.0.1:1,127.0.0.1:2", {}));
});

afterEach(() => {
  dial.close();
});

describe("a line", () => {
  test("that is lost gives way to the one to the next server, and comes again in its turn", () => {
    const first = dial.line();
    dial.lost(first);
    const second = dial.line();
    dial.lost(second);

    expect(second).not.toBe(first);
    expect(dial.line()).toBe(first);
  });

  test("that was left already does not condemn the one that is used now", () => {
    const first = dial.line();
    dial.lost(first);
    const second = dial.line();

    dial.lost(first);

    expect(dial.line()).toBe(second);
  });

  test("whose server is silent is followed by a fresh one", () => {
    const first = dial.line();
    dial.drop(first);
    dial.drop(dial.line());

    expect(dial.line()).not.toBe(first);
  });
});
