import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ariaKeys,
  bindingFor,
  bindingOf,
  bindings,
  type Command,
  keySigns,
  type Press,
  useLayout,
} from "./keymap";

// As a browser tells of a key that types `key` at the place `code`.
function press(key: string, code = "", more: Partial<Press> & { altGr?: boolean } = {}): Press {
  const { altGr = false, ...rest } = more;
  return {
    key,
    code,
    shiftKey: false,
    ctrlKey: false,
    altKey: false,
    metaKey: false,
    isComposing: false,
    getModifierState: (name) => altGr && name === "AltGraph",
    ...rest,
  };
}

const command = (key: string, page: "pair" | "ranking" = "pair", shiftKey = false) =>
  bindingOf(press(key, "", { shiftKey }), page)?.command;
const at = (...args: Parameters<typeof press>) => bindingOf(press(...args), "pair")?.command;
const choose = (choice: "LEFT" | "RIGHT" | "TIE" | "CANNOT_TELL" | "BROKEN"): Command => ({
  kind: "choose",
  choice,
});

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

test("letters of other alphabets count by where they are", () => {
  for (const [name, z, s, b] of [
    ["Russian", "я", "ы", "и"],
    ["Greek", "ζ", "σ", "β"],
    ["Hebrew", "ז", "ד", "נ"],
    ["Arabic", "ئ", "س", "لا"],
    ["Korean", "ㅋ", "ㄴ", "ㅠ"],
  ]) {
    assert.deepEqual(at(z!, "KeyZ"), { kind: "undo" }, name);
    assert.deepEqual(at(s!, "KeyS"), choose("CANNOT_TELL"), name);
    assert.deepEqual(at(b!, "KeyB"), choose("BROKEN"), name);
  }
  assert.deepEqual(at("ผ", "KeyZ"), { kind: "undo" }, "Thai");
  assert.deepEqual(at("ｓ", "KeyS"), choose("CANNOT_TELL"), "Japanese, full width");
  assert.deepEqual(at("\u3000", "Space"), { kind: "play" }, "Japanese, full width");
  assert.deepEqual(at("؟", "Slash", { shiftKey: true }), { kind: "help" }, "Arabic");
  assert.deepEqual(at("ת", "Comma"), { kind: "step", by: -1 }, "Hebrew");
  assert.deepEqual(at("Я", "KeyZ", { shiftKey: true }), { kind: "undo" });
  assert.deepEqual(at("б", "Comma"), { kind: "step", by: -1 });
  assert.deepEqual(at("ъ", "BracketRight"), { kind: "speed", by: 1 });
});

test("digits count by where they are, where they take shift or are of another script", () => {
  assert.deepEqual(at("&", "Digit1"), choose("LEFT"));
  assert.deepEqual(at("é", "Digit2"), choose("RIGHT"));
  assert.deepEqual(at("à", "Digit0"), choose("TIE"));
  assert.deepEqual(at("۱", "Digit1"), choose("LEFT"));
  assert.deepEqual(bindingOf(press("(", "Digit5"), "ranking")?.command, { kind: "place", clip: 4 });
  assert.deepEqual(at("1", "Digit1", { shiftKey: true }), choose("LEFT"), "French, with shift");
  assert.equal(at("!", "Digit1", { shiftKey: true }), undefined, "English, with shift");
  assert.deepEqual(at("+", "Digit1"), choose("LEFT"), "Czech");
  assert.deepEqual(at("٢", "Numpad2"), choose("RIGHT"), "Arabic");
  assert.deepEqual(at("End", "Numpad1"), undefined, "a digit's key without its digit");
});

test("Latin letters and signs count by what they type, wherever they are", () => {
  assert.deepEqual(at("z", "KeyW"), { kind: "undo" }, "French");
  assert.equal(at("w", "KeyZ"), undefined, "French");
  assert.deepEqual(at("z", "Slash"), { kind: "undo" }, "Dvorak");
  assert.equal(at(";", "KeyZ"), undefined, "Dvorak");
  assert.deepEqual(at(",", "KeyM"), { kind: "step", by: -1 }, "French");
  assert.deepEqual(at(".", "Slash"), { kind: "step", by: 1 }, "Russian");
});

test("a key that only begins an accent, or that the browser does not know, counts by its place", () => {
  assert.deepEqual(at("Dead", "BracketLeft"), { kind: "speed", by: -1 }, "French");
  assert.deepEqual(at("Dead", "Digit2"), choose("RIGHT"), "Swiss, by another layer");
  assert.deepEqual(at("Unidentified", "KeyS"), choose("CANNOT_TELL"));
  assert.equal(at("Dead", "Quote"), undefined);
});

test("AltGr types signs, and is no shortcut", () => {
  const windows = { altGr: true, ctrlKey: true, altKey: true };
  assert.deepEqual(at("[", "Digit8", windows), { kind: "speed", by: -1 }, "German");
  assert.deepEqual(at("]", "Digit9", { altGr: true }), { kind: "speed", by: 1 }, "on Linux");
  assert.equal(at("ż", "KeyZ", windows), undefined, "Polish");
  assert.equal(at("b", "KeyB", windows), undefined);
  assert.equal(at("1", "Digit1", windows), undefined);
  assert.equal(at("ArrowLeft", "ArrowLeft", windows), undefined);
});

test("the Option keys of a Mac type signs, too", () => {
  assert.deepEqual(at("[", "Digit5", { altKey: true }), { kind: "speed", by: -1 }, "German");
  assert.deepEqual(at("]", "Digit6", { altKey: true }), { kind: "speed", by: 1 }, "German");
  assert.equal(at("∞", "Digit5", { altKey: true }), undefined, "English");
  assert.equal(at("[", "BracketLeft", { altKey: true }), undefined, "a shortcut");
  assert.equal(at("[", "Digit5", { altKey: true, metaKey: true }), undefined);
  assert.equal(at(" ", "Space", { altKey: true }), undefined);
});

test("keys of the browser and of an input method answer nothing", () => {
  for (const held of [{ ctrlKey: true }, { altKey: true }, { metaKey: true }]) {
    assert.equal(at("z", "KeyZ", held), undefined);
    assert.equal(at("я", "KeyZ", held), undefined);
    assert.equal(at("ArrowLeft", "ArrowLeft", held), undefined);
  }
  assert.equal(at("z", "KeyZ", { isComposing: true }), undefined);
  assert.equal(at("Process", "KeyZ"), undefined);
});

test("the keys are shown as this computer's keyboard has them", () => {
  useLayout(
    new Map([
      ["KeyZ", "я"],
      ["KeyS", "ы"],
      ["Digit1", "1"],
      ["BracketLeft", "х"],
    ]),
  ); // Russian
  assert.deepEqual(keySigns(bindingFor({ kind: "undo" })), ["я"]);
  assert.deepEqual(keySigns(bindingFor(choose("CANNOT_TELL"))), ["↓", "ы"]);
  assert.deepEqual(keySigns(bindingFor(choose("LEFT"))), ["←", "1"]);
  assert.deepEqual(keySigns(bindingFor({ kind: "speed", by: -1 })), ["х"]);
  useLayout(
    new Map([
      ["KeyW", "z"],
      ["KeyZ", "w"],
      ["Digit1", "&"],
    ]),
  ); // French
  assert.deepEqual(keySigns(bindingFor({ kind: "undo" })), ["z"]);
  assert.deepEqual(keySigns(bindingFor(choose("LEFT"))), ["←", "1"]);
  useLayout(new Map());
  assert.deepEqual(keySigns(bindingFor({ kind: "undo" })), ["z"]);
});
