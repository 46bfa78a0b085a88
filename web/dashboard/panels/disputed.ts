// The pairs that people disagree on most, with every answer beside them.
import { h, setText } from "../../common/dom";
import { ago, percent } from "../formats";
import { KeyedList } from "../keyed_list";
import { makeGold, type Stage } from "./gold";
import type { Choice, DisputedQuestion } from "../model";
import { PairView } from "../pair";
import { answerWords } from "../words";

const shares: readonly [Choice, string, string][] = [
  ["LEFT", "left", "share-left"],
  ["TIE", "same", "share-tie"],
  ["RIGHT", "right", "share-right"],
];

export class Disputed {
  readonly element: HTMLElement;
  private readonly body = h("ul", { class: "cards" });
  private readonly empty = h(
    "p",
    { class: "empty" },
    "Nobody disagrees, or no question has two answers yet.",
  );
  private list?: KeyedList<DisputedQuestion>;
  private runId = 0;

  constructor(private readonly goldAdded: () => void) {
    this.element = h(
      "section",
      { id: "disputed", "aria-labelledby": "disputed-title" },
      h("div", { class: "section-head" }, h("h2", { id: "disputed-title" }, "Most disputed pairs")),
      this.empty,
      this.body,
    );
  }

  update(stage: Stage, questions: readonly DisputedQuestion[]): void {
    if (!this.list || stage.runId !== this.runId) {
      this.list?.set([]);
      this.runId = stage.runId;
      this.list = new KeyedList(
        this.body,
        (question) => String(question.questionId),
        (question) => this.card(stage, question),
      );
    }
    const disputed = questions.filter((question) => question.disagreement > 0);
    this.empty.hidden = disputed.length > 0;
    this.list.set(disputed);
  }

  private card(stage: Stage, question: DisputedQuestion) {
    const view = new PairView(
      stage.theatre,
      stage.client,
      stage.runId,
      stage.scene,
      question.clipIds,
    ).loadInSight();
    const bar = h("div", { class: "shares" });
    const answers = h("ul", { class: "answers" });
    const amount = h("p", { class: "quiet" });
    const pair = question.clipIds.length === 2;
    const element = h(
      "li",
      { class: "card" },
      view.element,
      bar,
      answers,
      h(
        "div",
        { class: "card-foot" },
        amount,
        pair
          ? h(
              "button",
              {
                type: "button",
                class: "small",
                "aria-label": `Make question ${question.questionId} a gold pair`,
                click: () => makeGold(stage, question.clipIds, undefined, this.goldAdded),
              },
              "Make gold …",
            )
          : null,
      ),
    );
    let drawn = "";
    const update = (now: DisputedQuestion) => {
      setText(amount, `question ${now.questionId}, disagreement ${percent(now.disagreement)}`);
      const key = JSON.stringify(now.answers);
      if (key === drawn) return;
      drawn = key;
      const count = (choice: Choice) =>
        now.answers.filter(({ answer }) => "choice" in answer && answer.choice === choice).length;
      bar.replaceChildren(
        ...shares.flatMap(([choice, text, name]) => {
          const n = count(choice);
          if (n === 0) return [];
          const part = h("span", { class: name }, `${text} ${n}`);
          part.style.flexGrow = String(n);
          return [part];
        }),
      );
      bar.hidden = bar.childElementCount === 0;
      answers.replaceChildren(
        ...now.answers.map(({ labeler, answer, answeredMs, note }) =>
          h(
            "li",
            {},
            h("span", { class: "name" }, labeler),
            h("span", {}, answerWords(answer)),
            h("span", { class: "quiet" }, ago(answeredMs)),
            note ? h("q", { class: "words" }, note) : null,
          ),
        ),
      );
    };
    return { element, update, remove: () => view.close() };
  }
}
