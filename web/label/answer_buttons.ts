// The buttons below a pair, and the dialog that asks what is broken.
import type { Answer, Choice } from "../common/answers";
import { h } from "../common/dom";
import { keyButton } from "./key_button";

export interface AnswerButtonsEvents {
  choose(choice: Choice): void;
  undo(): void;
  broken(note: string): void;
}

export class AnswerButtons {
  // What compares two clips, and what may be said of any question.
  readonly choices: HTMLElement;
  readonly others: HTMLElement;
  readonly dialog: HTMLDialogElement;
  private readonly buttons = new Map<Choice, HTMLButtonElement>();
  private readonly undo: HTMLButtonElement;
  private readonly note = h("input", {
    type: "text",
    id: "note",
    maxlength: "400",
    autocomplete: "off",
  });

  constructor(events: AnswerButtonsEvents) {
    const button = (choice: Choice, style: string, ...content: Node[]) => {
      const made = keyButton(
        { kind: "choose", choice },
        { class: style, "aria-pressed": "false", click: () => events.choose(choice) },
        ...content,
      );
      this.buttons.set(choice, made);
      return made;
    };
    const side = (wide: string, tall: string) => [
      h("span", { class: "when-wide" }, wide),
      h("span", { class: "when-tall" }, tall),
    ];
    this.choices = h(
      "div",
      { class: "choices", role: "group", "aria-labelledby": "question" },
      button("LEFT", "choice", ...side("Left is better", "Upper is better")),
      button("TIE", "choice", h("span", {}, "Same")),
      button("RIGHT", "choice", ...side("Right is better", "Lower is better")),
    );
    this.undo = keyButton(
      { kind: "undo" },
      { class: "choice minor", click: () => events.undo() },
      h("span", {}, "Undo"),
    );
    this.others = h(
      "div",
      { class: "others", role: "group", "aria-label": "Other answers" },
      button("CANNOT_TELL", "choice minor", h("span", {}, "Can’t tell")),
      button("BROKEN", "choice minor", h("span", {}, "Broken")),
      this.undo,
    );
    this.dialog = this.makeDialog(events);
  }

  private makeDialog(events: AnswerButtonsEvents): HTMLDialogElement {
    const dialog = h("dialog", { "aria-labelledby": "note-title" });
    const close = () => dialog.close();
    dialog.append(
      h(
        "form",
        { method: "dialog", submit: () => events.broken(this.note.value) },
        h("h2", { id: "note-title" }, "What is broken?"),
        h("label", { for: "note" }, "A remark, if you like"),
        this.note,
        h(
          "div",
          { class: "dialog-buttons" },
          h("button", { type: "button", click: close }, "Cancel ", h("kbd", {}, "esc")),
          h("button", { class: "primary" }, "Report as broken ", h("kbd", {}, "enter")),
        ),
      ),
    );
    return dialog;
  }

  askNote(): void {
    this.dialog.showModal();
    this.note.focus();
  }

  // Another question: a remark that was begun is not of it.
  clear(): void {
    this.dialog.close();
    this.note.value = "";
  }

  update(open: boolean, marked: Answer | undefined, mayUndo: boolean): void {
    for (const [choice, button] of this.buttons) {
      const pressed = marked !== undefined && "choice" in marked && marked.choice === choice;
      button.disabled = !open;
      button.setAttribute("aria-pressed", String(pressed));
    }
    this.undo.disabled = !mayUndo;
  }
}
