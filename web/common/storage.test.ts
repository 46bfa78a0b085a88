import "../test_browser";
import assert from "node:assert/strict";
import { test } from "node:test";
import { Kept } from "./storage";

test("what the browser does not keep is kept in memory", () => {
  const forbidden = () => {
    throw new Error("The operation is insecure.");
  };
  const full = Object.assign(Object.create(localStorage) as Storage, {
    setItem: () => {
      throw new Error("QuotaExceededError");
    },
  });
  const damaged = new Proxy({} as Storage, {
    get: () => {
      throw new Error("NS_ERROR_FILE_CORRUPTED");
    },
  });
  const opened = [null as unknown as Storage, full, damaged].map((storage) => () => storage);
  for (const open of [forbidden, ...opened]) {
    const kept = new Kept(open);
    assert.equal(kept.lasts, false);
    kept.set("a.1", "one");
    kept.set("a.2", "two");
    kept.set("b", "three");
    assert.equal(kept.get("a.1"), "one");
    assert.deepEqual(kept.names("a."), ["a.1", "a.2"]);
    kept.remove("a.1");
    assert.equal(kept.get("a.1"), undefined);
  }
});

test("what the browser keeps is there for the next page", () => {
  const kept = new Kept(() => localStorage);
  assert.equal(kept.lasts, true);
  kept.set("a", "one");
  assert.equal(new Kept(() => localStorage).get("a"), "one");
  kept.remove("a");
  assert.equal(new Kept(() => localStorage).get("a"), undefined);
});
