// A button that a key presses as well; it shows which.
import { type Attributes, type Child, h } from "../common/dom";
import { ariaKey, type Command, keySign, keysOf } from "./keymap";

export function keyButton(
  command: Command,
  attributes: Attributes,
  ...content: Child[]
): HTMLButtonElement {
  const keys = keysOf(command);
  return h(
    "button",
    { type: "button", "aria-keyshortcuts": keys.map(ariaKey).join(" "), ...attributes },
    ...content,
    h(
      "span",
      { class: "keys", "aria-hidden": "true" },
      ...keys.map((key) => h("kbd", {}, keySign(key))),
    ),
  );
}
