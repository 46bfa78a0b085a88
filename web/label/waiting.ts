// What the page shows instead of clips while there is nothing to answer.
import { type LeaseResponse, NothingToLabel } from "backflip/v1/label_pb";
import { button, h, setText } from "../common/dom";

export interface WaitingWords {
  title: string;
  lines: string[];
  // Proves to the people who pay that the session is complete.
  code?: string;
  // Where they go on then.
  next?: string;
  // Something moves, since it will soon go on.
  soon?: boolean;
}

const goesOn = "This page goes on by itself.";

// Why there is nothing to label. `message` is the broker's own sentence.
export function waitingWords({
  none,
  message,
  completionCode,
  redirectUrl,
}: Pick<LeaseResponse, "none" | "message" | "completionCode" | "redirectUrl">): WaitingWords {
  const words = (title: string, ...lines: string[]): WaitingWords => ({
    title,
    lines: lines.filter(Boolean),
  });
  switch (none) {
    case NothingToLabel.LEARNING:
      return {
        ...words("It is learning from your answers", `New clips come soon. ${goesOn}`, message),
        soon: true,
      };
    case NothingToLabel.PAUSED_BY_OPERATOR:
      return words("Paused", "The people who run this have paused it.", goesOn, message);
    case NothingToLabel.BUDGET_SPENT:
      return words("All answers are in", "There are no more questions. Thank you.", message);
    case NothingToLabel.ALL_ANSWERED_BY_YOU:
      return words(
        "You have answered everything there is",
        `New clips come when it has learned more. ${goesOn}`,
        message,
      );
    case NothingToLabel.YOU_ARE_PAUSED:
      return words("You are paused", message || "The people who run this have paused you.", goesOn);
    case NothingToLabel.SESSION_COMPLETE:
      return {
        ...words("Your session is complete", message || "That was all. Thank you."),
        code: completionCode,
        next: redirectUrl,
      };
    case NothingToLabel.NEEDS_MORE_CLIPS_ON_SCREEN:
      return words(
        "This needs a wider window",
        "The next questions show several clips to put in order: make the window at least 1,024 pixels wide.",
        goesOn,
      );
    default:
      return words("Nothing to do right now", goesOn, message);
  }
}

export function waitingContent({ title, lines, code, soon }: WaitingWords): Node[] {
  const content: Node[] = [
    h("h2", {}, title),
    ...lines.map((line) => h("p", { class: "words" }, line)),
  ];
  if (soon) content.push(h("div", { class: "pulse", "aria-hidden": "true" }));
  if (code) {
    const output = h("output", { class: "words" }, code);
    const select = () => {
      getSelection()?.selectAllChildren(output);
      const mac = /Mac|iPhone|iPad/.test(navigator.platform);
      setText(copy, mac ? "Press ⌘C" : "Press Ctrl+C");
    };
    const copy = button("Copy", () => {
      // none on a page without encryption, and it may refuse
      if (!navigator.clipboard) select();
      else void navigator.clipboard.writeText(code).then(() => setText(copy, "Copied"), select);
    });
    content.push(
      h("p", { class: "words" }, "Your completion code:"),
      h("p", { class: "code" }, output, copy),
    );
  }
  return content;
}
