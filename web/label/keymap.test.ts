import assert from "node:assert/strict";
import { test } from "node:test";
import { ariaKeys, bindingFor, bindingOf, bindings, keySigns } from "./keymap";

const command = (key: string, page: "pair" | "ranking" = "pair", shiftKey = false) =>
  bindingOf({ key, shiftKey }, page)?.command;

test("every choice has its keys where two clips are compared", () => {
  const expected: [string, string[]][] = [
    ["LEFT", ["ArrowLeft", "1"]],
    ["RIGHT", ["ArrowRight", "2"]],
    ["TIE", ["ArrowUp", "0"]],
    ["CANNOT_TELL", ["ArrowDown", "s", "S"]],
    ["BROKEN", ["b", "B"]],
  ];
  for (const [choice, keys] of expected) {
    for (const key of keys) assert.deepEqual(command(key), { kind: "choose", choice }, key);
  }
});

test("digits give places where several clips are put in order", () => {
  assert.deepEqual(command("1", "ranking"), { kind: "place", clip: 0 });
  assert.deepEqual(command("8", "ranking"), { kind: "place", clip: 7 });
  assert.equal(command("0", "ranking"), undefined);
  assert.equal(command("ArrowLeft", "ranking"), undefined);
  assert.deepEqual(command("s", "ranking"), { kind: "choose", choice: "CANNOT_TELL" });
  assert.deepEqual(command("Backspace", "ranking"), { kind: "unplace" });
  assert.equal(command("Backspace", "pair"), undefined);
});

test("an arrow with shift turns the cameras instead of answering", () => {
  assert.deepEqual(command("ArrowLeft", "pair", true), {
    kind: "turn",
    azimuth: -10,
    elevation: 0,
  });
  assert.deepEqual(command("ArrowDown", "ranking", true), {
    kind: "turn",
    azimuth: 0,
    elevation: 5,
  });
});

test("only steps repeat while a key is held down", () => {
  const repeating = bindings.filter(({ repeats }) => repeats).flatMap(({ keys }) => keys);
  assert.deepEqual(repeating, [",", "."]);
});

test("no key has two meanings on one page", () => {
  for (const page of ["pair", "ranking"] as const) {
    const keys = bindings.filter(({ only }) => !only || only === page).flatMap(({ keys }) => keys);
    assert.deepEqual(keys, [...new Set(keys)]);
  }
});

test("a button finds the keys of its command, and how they are shown", () => {
  const tie = bindingFor({ kind: "choose", choice: "TIE" });
  assert.deepEqual(keySigns(tie), ["↑", "0"]);
  assert.equal(ariaKeys(tie), "ArrowUp 0");
  assert.equal(ariaKeys(bindingFor({ kind: "play" })), "Space");
  assert.deepEqual(keySigns(bindingFor({ kind: "step", by: -1 })), [","]);
});
