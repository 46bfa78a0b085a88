// A message over the clips that stays until it is closed.
import { button, h } from "../common/dom";

export class Banner {
  readonly element = h("div", { class: "banner", hidden: true });
  private dismissed = "";
  private passing = "";

  // Shows no message twice: not the one that is there, nor the one closed last.
  show(text: string, ...buttons: HTMLButtonElement[]): void {
    if (text === this.dismissed || this.shows(text)) return;
    const close = () => {
      this.dismissed = text;
      this.hide();
    };
    this.element.replaceChildren(
      h("p", { class: "words", role: "alert" }, text),
      ...buttons,
      button("Close", close, { class: "control" }),
    );
    this.element.hidden = false;
  }

  // Shows a message that is over when pairs arrive.
  showUntilPairs(text: string): void {
    this.passing = text;
    this.show(text);
  }

  pairsArrived(): void {
    if (this.passing && this.shows(this.passing)) this.hide();
    this.passing = "";
  }

  shows(text: string): boolean {
    return !this.element.hidden && this.element.firstElementChild?.textContent === text;
  }

  hide(): void {
    this.element.hidden = true;
  }
}
