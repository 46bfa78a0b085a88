// Pairs with a known answer: made of pairs that are shown, listed, removed.
import { ask, say } from "../dialog";
import { h, setText } from "../../common/dom";
import { percent, plural, whole } from "../formats";
import { KeyedList } from "../keyed_list";
import type { Answer, Client, GoldAnswer, GoldPair, GoldUse } from "../model";
import { PairView, type Scene } from "../pair";
import type { Theatre } from "../player";
import { useNotes, useWords } from "../words";

export const goldAnswerWords: Record<GoldAnswer, string> = {
  LEFT: "left is better",
  TIE: "same",
  RIGHT: "right is better",
};

export interface Stage {
  theatre: Theatre;
  client: Client;
  runId: number;
  scene: Scene;
}

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

// Asks for answer, explanation and use, and adds the pair.
export function makeGold(
  stage: Stage,
  clipIds: readonly string[],
  hint: Answer | undefined,
  done: () => void,
): void {
  const view = new PairView(stage.theatre, stage.client, stage.runId, stage.scene, clipIds);
  void view.load();
  const hinted = hint && "choice" in hint ? hint.choice : undefined;
  const answer = radios<GoldAnswer>(
    "gold-answer",
    "The right answer",
    (["LEFT", "TIE", "RIGHT"] as const).map((value) => ({ value, text: goldAnswerWords[value] })),
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
        "Its answer must be certain: who answers otherwise loses gold score, and may be paused.",
      ),
      view.element,
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
      await stage.client.addGold(
        stage.runId,
        [...clipIds],
        answer.value(),
        explanation.value.trim(),
        use.value(),
      );
      say("The pair is gold now.");
      done();
    },
    onClose: () => view.close(),
  });
}

export class Gold {
  readonly element: HTMLElement;
  private readonly body = h("ul", { class: "cards" });
  private readonly empty = h(
    "p",
    { class: "empty" },
    "No gold pairs yet. Make one of a disputed pair or of any label: its known answer tells how well labelers look.",
  );
  private list?: KeyedList<GoldPair>;
  private runId = 0;

  constructor(private readonly changed: () => void) {
    this.element = h(
      "section",
      { id: "gold", "aria-labelledby": "gold-title" },
      h("div", { class: "section-head" }, h("h2", { id: "gold-title" }, "Gold pairs")),
      this.empty,
      this.body,
    );
  }

  update(stage: Stage, pairs: readonly GoldPair[]): void {
    if (!this.list || stage.runId !== this.runId) {
      this.list?.set([]);
      this.runId = stage.runId;
      this.list = new KeyedList(
        this.body,
        (pair) => String(pair.goldId),
        (pair) => this.card(stage, pair),
      );
    }
    this.empty.hidden = pairs.length > 0;
    this.list.set(pairs);
  }

  private card(stage: Stage, pair: GoldPair) {
    const view = new PairView(
      stage.theatre,
      stage.client,
      stage.runId,
      stage.scene,
      pair.clipIds,
    ).loadInSight();
    const score = h("p", { class: "quiet" });
    const remove = h(
      "button",
      {
        type: "button",
        class: "small danger-text",
        "aria-label": `Remove gold pair ${pair.goldId}`,
        click: () =>
          ask({
            title: "Remove this gold pair?",
            body: [
              h(
                "p",
                {},
                "It is asked no more. Answers to it stay, and still count in gold scores.",
              ),
            ],
            action: "Remove",
            danger: true,
            run: async () => {
              await stage.client.removeGold(pair.goldId);
              this.changed();
            },
          }),
      },
      "Remove",
    );
    const element = h(
      "li",
      { class: "card" },
      view.element,
      h(
        "p",
        {},
        h("strong", {}, goldAnswerWords[pair.answer]),
        " ",
        h("span", { class: "chip plain", title: useNotes[pair.use] }, useWords[pair.use]),
      ),
      pair.explanation ? h("p", { class: "words" }, pair.explanation) : null,
      h("div", { class: "card-foot" }, score, remove),
    );
    return {
      element,
      update: (now: GoldPair) =>
        setText(
          score,
          now.asked === 0
            ? "not asked yet"
            : `asked ${plural(now.asked, "time")}, ${whole(now.answeredRight)} right (${percent(now.answeredRight / now.asked)})`,
        ),
      remove: () => view.close(),
    };
  }
}
