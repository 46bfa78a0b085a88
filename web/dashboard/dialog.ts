// Questions to the reader: a modal dialog that keeps the focus, closes with
// Escape, and shows what went wrong in place.
import { button, h, setText } from "../common/dom";
import { sentence } from "../common/failures";

export interface Ask {
  title: string;
  body: Node[];
  // What the button does: "Pause run".
  action: string;
  danger?: boolean;
  // May throw a sentence: then the dialog stays and shows it.
  run: () => Promise<void>;
  onClose?: () => void;
  wide?: boolean;
}

export function ask(options: Ask): void {
  const error = h("p", { class: "error", role: "alert" });
  const cancel = button("Cancel", () => dialog.close());
  const go = h(
    "button",
    { type: "submit", class: options.danger ? "danger" : "primary" },
    options.action,
  );
  const form = h(
    "form",
    {
      submit: async (event) => {
        event.preventDefault();
        go.disabled = true;
        setText(error, "");
        try {
          await options.run();
          dialog.close();
        } catch (failure) {
          setText(error, sentence(failure));
        } finally {
          go.disabled = false;
        }
      },
    },
    ...options.body,
    error,
    h("div", { class: "dialog-buttons" }, cancel, go),
  );
  const dialog = open(options.title, form, options.onClose, options.wide);
}

export function show(title: string, body: Node[], onClose?: () => void): HTMLDialogElement {
  const close = button("Close", () => dialog.close());
  const dialog = open(
    title,
    h("div", {}, ...body, h("div", { class: "dialog-buttons" }, close)),
    onClose,
    true,
  );
  return dialog;
}

let opened = 0;
function open(
  title: string,
  content: HTMLElement,
  onClose?: () => void,
  wide?: boolean,
): HTMLDialogElement {
  const id = `dialog-${++opened}`;
  const dialog = h(
    "dialog",
    { class: wide ? "wide" : "", "aria-labelledby": id },
    h("h2", { id }, title),
    content,
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    onClose?.();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// Says something in passing, also to screen readers.
let line: HTMLElement | undefined;
let timer = 0;
export function say(text: string): void {
  if (!line) {
    line = h("div", { class: "toast", role: "status", "aria-live": "polite" });
    document.body.append(line);
  }
  setText(line, text);
  line.classList.add("on");
  clearTimeout(timer);
  timer = window.setTimeout(() => line!.classList.remove("on"), 6000);
}
