// What the keys do.
import { h } from "../common/dom";

const rows: [string[], string][] = [
  [["←", "1"], "the left clip is better (upright on a phone: the upper)"],
  [["→", "2"], "the right clip is better (the lower)"],
  [["↑", "0"], "both are equally good"],
  [["↓", "s"], "cannot tell"],
  [["b"], "broken: the clips do not show what they should"],
  [["z"], "undo: take the last answer back and give it again"],
  [["space"], "pause and play"],
  [[",", "."], "one step back, one step on"],
  [["[", "]"], "slower, faster"],
  [["shift + arrows"], "turn both cameras (or drag; a double click turns back)"],
  [["?"], "this list"],
];
const rankingRows: [string[], string][] = [
  [["1 – 8"], "the next place for this clip, best first; again: takes it out"],
  [["t"], "the last two places are equal"],
  [["enter"], "send the order"],
];

export function helpDialog(): HTMLDialogElement {
  const list = (keys: [string[], string][]) =>
    h(
      "dl",
      { class: "keys-list" },
      ...keys.flatMap(([names, what]) => [
        h("dt", {}, ...names.map((name) => h("kbd", {}, name))),
        h("dd", {}, what),
      ]),
    );
  const dialog = h("dialog", { "aria-labelledby": "help-title" });
  dialog.append(
    h("h2", { id: "help-title" }, "Keys"),
    list(rows),
    h("h3", {}, "When several clips are to be put in order"),
    list(rankingRows),
    h(
      "p",
      { class: "quiet" },
      "A choice stays marked for a moment before it is sent: press another key to change it, z to drop it, the same key to send it at once. Clips are put in order, too, by dragging their numbers; one on another makes them equal.",
    ),
    h(
      "form",
      { method: "dialog", class: "dialog-buttons" },
      h("button", { class: "primary" }, "Close ", h("kbd", {}, "esc")),
    ),
  );
  return dialog;
}
