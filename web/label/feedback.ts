// The right answer and why, after an answer in practice.
import type { Feedback } from "backflip/v1/label_pb";
import { answerSentence, fromMessage } from "../common/answers";
import { h } from "../common/dom";
import { keyButton } from "./key_button";

export class FeedbackBox {
  readonly element = h("div", { class: "feedback", hidden: true, role: "status" });
  private readonly go: HTMLButtonElement;
  private shown?: Feedback;

  constructor(goOn: () => void) {
    this.go = keyButton({ kind: "enter" }, { class: "primary", click: goOn }, "Continue ");
  }

  // Undefined: nothing.
  update(feedback: Feedback | undefined): void {
    if (feedback === this.shown) return;
    this.shown = feedback;
    this.element.hidden = feedback === undefined;
    if (!feedback) return;
    const { correct, expected, explanation } = feedback;
    this.element.replaceChildren(
      h(
        "div",
        { class: correct ? "right" : "wrong" },
        h(
          "b",
          {},
          h("span", { "aria-hidden": "true" }, correct ? "✓ " : "↺ "),
          `${correct ? "Yes." : "Not quite."} ${answerSentence(fromMessage(expected))} `,
        ),
        h("span", { class: "words" }, explanation),
      ),
      this.go,
    );
    this.go.focus();
  }
}
