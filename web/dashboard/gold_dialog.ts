// The dialog that makes a gold pair of two clips.
import { type Answer, choiceWords } from "../common/answers";
import { h } from "../common/dom";
import { ask, say } from "./dialog";
import type { GoldAnswer, GoldUse } from "./model";
import { PairView } from "./pair";
import type { RunView } from "./panel";
import { useNotes, useWords } from "./words";

function radios<T extends string>(
  name: string,
  legend: string,
  choices: readonly { value: T; text: string; note?: string }[],
  chosen: T | undefined,
): { element: HTMLElement; value: () => T } {
  const inputs = choices.map(({ value }) =>
    h("input", { type: "radio", name, value, checked: value === chosen, required: true }),
  );
  return {
    element: h(
      "fieldset",
      { class: "radios" },
      h("legend", {}, legend),
      ...choices.map(({ text, note }, i) =>
        h("label", {}, inputs[i]!, h("span", {}, text, note ? h("small", {}, ` ${note}`) : null)),
      ),
    ),
    value: () => (inputs.find((input) => input.checked)?.value ?? "") as T,
  };
}

// Asks for answer, explanation and use, and makes the pair a gold pair. `hint`: an
// answer that it got; `done`: called when it is one.
export function makeGold(
  view: RunView,
  clipIds: readonly string[],
  hint?: Answer,
  done: () => void = () => {},
): void {
  const pair = new PairView(view, clipIds);
  void pair.load();
  const hinted = hint && "choice" in hint ? hint.choice : undefined;
  const answer = radios<GoldAnswer>(
    "gold-answer",
    "The right answer",
    (["LEFT", "TIE", "RIGHT"] as const).map((value) => ({ value, text: choiceWords[value] })),
    hinted === "LEFT" || hinted === "RIGHT" || hinted === "TIE" ? hinted : undefined,
  );
  const use = radios<GoldUse>(
    "gold-use",
    "Used as",
    (["CHECK", "QUALIFY", "SHOW"] as const).map((value) => ({
      value,
      text: useWords[value],
      note: useNotes[value],
    })),
    "CHECK",
  );
  const explanation = h("textarea", {
    id: "gold-explanation",
    rows: 2,
    maxlength: 2000,
  });
  ask({
    title: "Make a gold pair",
    wide: true,
    body: [
      h(
        "p",
        {},
        "Be certain of the answer: labelers who answer otherwise lose gold score, and may be paused.",
      ),
      pair.element,
      answer.element,
      h(
        "label",
        { class: "field" },
        h("span", {}, "Why this is right (told to new labelers)"),
        explanation,
      ),
      use.element,
    ],
    action: "Make it gold",
    run: async () => {
      await view.client.addGold(
        view.run.id,
        [...clipIds],
        answer.value(),
        explanation.value.trim(),
        use.value(),
      );
      say("The pair is gold now.");
      done();
      view.changed();
    },
    onClose: () => pair.close(),
  });
}
