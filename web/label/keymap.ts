// What each key does, on the page and in its list of keys.
import type { Choice } from "../common/answers";

export type Command =
  | { kind: "choose"; choice: Choice }
  | { kind: "place"; clip: number }
  | { kind: "turn"; azimuth: number; elevation: number }
  | { kind: "step" | "speed"; by: number }
  | { kind: "undo" | "play" | "enter" | "unplace" | "tie" | "help" };

export interface Binding {
  // As keyName has them.
  keys: string[];
  command: Command;
  // Only where two clips are compared, or only where several are put in order.
  only?: "pair" | "ranking";
  // A key that is held down does it again and again.
  repeats?: boolean;
  // How the list of keys shows them, where not one by one.
  shown?: string[];
  // What it does; without: the words of the binding before say it too.
  help?: string;
}

function choose(choice: Choice, keys: string[], help: string, only?: "pair"): Binding {
  return { keys, command: { kind: "choose", choice }, only, help };
}

function turn(key: string, azimuth: number, elevation: number): Binding {
  return { keys: [`Shift+${key}`], command: { kind: "turn", azimuth, elevation }, shown: [] };
}

function place(clip: number): Binding {
  return { keys: [`${clip + 1}`], command: { kind: "place", clip }, only: "ranking", shown: [] };
}

export const bindings: readonly Binding[] = [
  choose("LEFT", ["ArrowLeft", "1"], "the left clip is better (on a phone: the upper)", "pair"),
  choose("RIGHT", ["ArrowRight", "2"], "the right clip is better (on a phone: the lower)", "pair"),
  choose("TIE", ["ArrowUp", "0"], "both are equally good", "pair"),
  choose("CANNOT_TELL", ["ArrowDown", "s"], "you cannot tell"),
  choose("BROKEN", ["b"], "broken: the clips do not show what they should"),
  { keys: ["z"], command: { kind: "undo" }, help: "undo: take the last answer back" },
  { keys: [" "], command: { kind: "play" }, help: "pause and play" },
  { keys: [","], command: { kind: "step", by: -1 }, repeats: true, help: "one step back, forward" },
  { keys: ["."], command: { kind: "step", by: 1 }, repeats: true },
  { keys: ["["], command: { kind: "speed", by: -1 }, help: "slower, faster" },
  { keys: ["]"], command: { kind: "speed", by: 1 } },
  {
    ...turn("ArrowLeft", -10, 0),
    shown: ["shift + arrows"],
    help: "turn both cameras (or drag; a double click turns them back)",
  },
  turn("ArrowRight", 10, 0),
  turn("ArrowUp", 0, -5),
  turn("ArrowDown", 0, 5),
  { keys: ["?"], command: { kind: "help" }, help: "this list" },
  { ...place(0), shown: ["1 – 8"], help: "give the clip the next place, or take it away" },
  ...[1, 2, 3, 4, 5, 6, 7].map(place),
  {
    keys: ["t", "="],
    command: { kind: "tie" },
    only: "ranking",
    shown: ["t"],
    help: "the last two places are equal",
  },
  { keys: ["Backspace"], command: { kind: "unplace" }, only: "ranking", shown: [] },
  { keys: ["Enter"], command: { kind: "enter" }, shown: ["enter"], help: "send the order" },
];

export type Press = Pick<
  KeyboardEvent,
  | "key"
  | "code"
  | "shiftKey"
  | "ctrlKey"
  | "altKey"
  | "metaKey"
  | "isComposing"
  | "getModifierState"
>;

// Signs that other keyboards have elsewhere, or not without AltGr.
const signPositions: Record<string, string> = {
  Comma: ",",
  Period: ".",
  BracketLeft: "[",
  BracketRight: "]",
  Space: " ",
};
// What browsers call a key that begins an accent, and one that they do not know.
const unnamed = ["Dead", "Unidentified"];
const known = new Set(bindings.flatMap(({ keys }) => keys));

// What a key is called here: a letter (small), a digit, a sign, or KeyboardEvent.key, with "Shift+"
// before it where shift is held. A key counts by what it types; where that is of another alphabet,
// an accent, or a digit takes shift (French), by its place on an English keyboard. Undefined: the browser's or
// an input method's. AltGr and Option type signs, and are no other modifiers.
export function keyName(press: Press): string | undefined {
  const { key, code, shiftKey } = press;
  if (press.isComposing || key === "Process") return undefined;
  if (press.getModifierState("AltGraph")) return /^[!-/:-@[-`{-~]$/.test(key) ? key : undefined;
  if (press.ctrlKey || press.metaKey) return undefined;
  // so do the Option keys of a Mac
  if (press.altKey)
    return known.has(key) && /^[^\w ]$/.test(key) && signPositions[code] !== key ? key : undefined;
  if (/^[a-z\d]$/i.test(key)) return key.toLowerCase();
  if (/^[A-Z][A-Za-z\d]+$/.test(key) && !unnamed.includes(key))
    return shiftKey ? `Shift+${key}` : key;
  if (known.has(key)) return key;
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(code)?.[1];
  if (digit && !shiftKey) return digit;
  if (/^[ -~]$/.test(key)) return key;
  const letter = /^Key([A-Z])$/.exec(code)?.[1];
  if (letter) return letter.toLowerCase();
  if (shiftKey) return code === "Slash" ? "?" : undefined;
  return signPositions[code];
}

// What a key does; undefined: nothing.
export function bindingOf(press: Press, page: "pair" | "ranking"): Binding | undefined {
  const name = keyName(press);
  return bindings.find(
    ({ keys, only }) =>
      name !== undefined && keys.includes(name) && (only === undefined || only === page),
  );
}

// Where a command has its keys.
export function bindingFor(command: Command): Binding {
  const wanted = JSON.stringify(command);
  return bindings.find((binding) => JSON.stringify(binding.command) === wanted)!;
}

const signs: Record<string, string> = {
  ArrowLeft: "←",
  ArrowRight: "→",
  ArrowUp: "↑",
  ArrowDown: "↓",
  Enter: "enter",
  " ": "space",
};

// What each place of this computer's keyboard types, where the browser tells it.
let layout: ReadonlyMap<string, string> = new Map();

export function useLayout(known: ReadonlyMap<string, string>): void {
  layout = known;
}

// The key that counts as this one: that which types it, or else that at its place.
function keyThere(key: string): string {
  if ([...layout.values()].includes(key)) return key;
  const code = Object.keys(signPositions).find((code) => signPositions[code] === key);
  return layout.get(code ?? `Key${key.toUpperCase()}`) ?? key;
}

// The keys as people read them.
export function keySigns({ keys, shown }: Binding): string[] {
  return shown ?? keys.map((key) => signs[key] ?? keyThere(key));
}

// The keys as aria-keyshortcuts has them.
export function ariaKeys({ keys }: Binding): string {
  return keys.map((key) => (key === " " ? "Space" : key)).join(" ");
}
