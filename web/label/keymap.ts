// What each key does, on the page and in its list of keys.
import type { Choice } from "../common/answers";

export type Command =
  | { kind: "choose"; choice: Choice }
  | { kind: "place"; clip: number }
  | { kind: "turn"; azimuth: number; elevation: number }
  | { kind: "step" | "speed"; by: number }
  | { kind: "undo" | "play" | "enter" | "unplace" | "tie" | "help" };

export interface Binding {
  // As KeyboardEvent.key has them, letters small; "Shift+" before one with shift.
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

export const bindings: readonly Binding[] = [
  {
    keys: ["ArrowLeft", "1"],
    command: { kind: "choose", choice: "LEFT" },
    only: "pair",
    help: "the left clip is better (on a phone: the upper)",
  },
  {
    keys: ["ArrowRight", "2"],
    command: { kind: "choose", choice: "RIGHT" },
    only: "pair",
    help: "the right clip is better (on a phone: the lower)",
  },
  {
    keys: ["ArrowUp", "0"],
    command: { kind: "choose", choice: "TIE" },
    only: "pair",
    help: "both are equally good",
  },
  {
    keys: ["ArrowDown", "s"],
    command: { kind: "choose", choice: "CANNOT_TELL" },
    help: "you cannot tell",
  },
  {
    keys: ["b"],
    command: { kind: "choose", choice: "BROKEN" },
    help: "broken: the clips do not show what they should",
  },
  {
    keys: ["z"],
    command: { kind: "undo" },
    help: "undo: take the last answer back",
  },
  { keys: [" "], command: { kind: "play" }, help: "pause and play" },
  {
    keys: [","],
    command: { kind: "step", by: -1 },
    repeats: true,
    help: "one step back, one step forward",
  },
  { keys: ["."], command: { kind: "step", by: 1 }, repeats: true },
  { keys: ["["], command: { kind: "speed", by: -1 }, help: "slower, faster" },
  { keys: ["]"], command: { kind: "speed", by: 1 } },
  {
    keys: ["Shift+ArrowLeft"],
    command: { kind: "turn", azimuth: -10, elevation: 0 },
    shown: ["shift + arrows"],
    help: "turn both cameras (or drag; a double click turns them back)",
  },
  { keys: ["Shift+ArrowRight"], command: { kind: "turn", azimuth: 10, elevation: 0 }, shown: [] },
  { keys: ["Shift+ArrowUp"], command: { kind: "turn", azimuth: 0, elevation: -5 }, shown: [] },
  { keys: ["Shift+ArrowDown"], command: { kind: "turn", azimuth: 0, elevation: 5 }, shown: [] },
  { keys: ["?"], command: { kind: "help" }, help: "this list" },
  ...Array.from(
    { length: 9 },
    (_, clip): Binding => ({
      keys: [String(clip + 1)],
      command: { kind: "place", clip },
      only: "ranking",
      ...(clip === 0
        ? {
            shown: ["1 – 8"],
            help: "give the clip the next place, or take it away",
          }
        : { shown: [] }),
    }),
  ),
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

// What a key does; undefined: nothing.
export function bindingOf(
  { key, shiftKey }: Pick<KeyboardEvent, "key" | "shiftKey">,
  page: "pair" | "ranking",
): Binding | undefined {
  const name = key.length === 1 ? key.toLowerCase() : shiftKey ? `Shift+${key}` : key;
  return bindings.find(({ keys, only }) => keys.includes(name) && (!only || only === page));
}

// The keys of a command.
export function keysOf(command: Command): string[] {
  const wanted = JSON.stringify(command);
  return bindings.find((binding) => JSON.stringify(binding.command) === wanted)?.keys ?? [];
}

const signs: Record<string, string> = {
  ArrowLeft: "←",
  ArrowRight: "→",
  ArrowUp: "↑",
  ArrowDown: "↓",
  Enter: "enter",
  " ": "space",
};

// A key as people read it.
export function keySign(key: string): string {
  return signs[key] ?? key;
}

// A key as aria-keyshortcuts has it.
export function ariaKey(key: string): string {
  return key === " " ? "Space" : key;
}
