import { h, setText } from "../common/dom";

// A number with its name and a note, and a bar if it is a share of something.
export class Tile {
  readonly element: HTMLElement;
  private readonly value = h("dd", { class: "tile-value" });
  private readonly note = h("dd", { class: "tile-note" });
  private readonly bar?: HTMLProgressElement;

  constructor(label: string, bar = false) {
    if (bar) this.bar = h("progress", { max: 1, "aria-label": label });
    this.element = h(
      "div",
      { class: "tile" },
      h("dt", {}, label),
      this.value,
      bar ? h("dd", {}, this.bar) : null,
      this.note,
    );
  }

  set(value: string, note: string, share?: number): void {
    setText(this.value, value);
    setText(this.note, note);
    if (this.bar) this.bar.value = Math.min(1, Math.max(0, share ?? 0));
  }
}
