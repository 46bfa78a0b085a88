// A button that keys press as well; it shows which.
import { type Attributes, type Child, h } from "../common/dom";
import { ariaKeys, bindingFor, type Command, keySigns } from "./keymap";

export function keyButton(
  command: Command,
  attributes: Attributes,
  ...content: Child[]
): HTMLButtonElement {
  const binding = bindingFor(command);
  const keys = keySigns(binding).map((key) => h("kbd", { translate: "no" }, key));
  return h(
    "button",
    { type: "button", "aria-keyshortcuts": ariaKeys(binding), ...attributes },
    ...content,
    h("span", { class: "keys", "aria-hidden": "true" }, ...keys),
  );
}
