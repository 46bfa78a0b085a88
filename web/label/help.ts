// The list of keys.
import { h } from "../common/dom";
import { type Binding, bindings, keySigns } from "./keymap";

// Bindings whose words are those of the one before share its row.
function rows(wanted: (binding: Binding) => boolean): HTMLElement {
  const rows: { keys: string[]; help: string }[] = [];
  for (const binding of bindings.filter(wanted)) {
    const keys = keySigns(binding);
    if (binding.help) rows.push({ keys: [...keys], help: binding.help });
    else rows.at(-1)?.keys.push(...keys);
  }
  return h(
    "dl",
    { class: "keys-list" },
    ...rows.flatMap(({ keys, help }) => [
      h("dt", {}, ...keys.map((key) => h("kbd", { translate: "no" }, key))),
      h("dd", {}, help),
    ]),
  );
}

export function helpDialog(): HTMLDialogElement {
  const ranks = ({ only, command }: Binding) => only === "ranking" || command.kind === "enter";
  const dialog = h("dialog", { "aria-labelledby": "help-title" });
  dialog.append(
    h("h2", { id: "help-title" }, "Keys"),
    rows((binding) => !ranks(binding)),
    h("h3", {}, "When several clips are to be put in order"),
    rows(ranks),
    h(
      "p",
      { class: "quiet" },
      "A choice stays marked for a moment before it is sent. Meanwhile another key changes it, z drops it, and the same key sends it at once. Clips can also be put in order by dragging their numbers; drop one on another to make them equal.",
    ),
    h(
      "form",
      { method: "dialog", class: "dialog-buttons" },
      h("button", { class: "primary" }, "Close ", h("kbd", {}, "esc")),
    ),
  );
  return dialog;
}
