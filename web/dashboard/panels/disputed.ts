// The pairs that people disagree on most, with every answer beside them.
import { answerWords, type Choice } from "../../common/answers";
import { button, h, setText } from "../../common/dom";
import { ago, percent } from "../formats";
import { makeGold } from "../gold_dialog";
import type { Row } from "../keyed_list";
import type { DisputedQuestion } from "../model";
import { PairView } from "../pair";
import { type Panel, panelSection, RunList, type RunView } from "../panel";

const shares: readonly [Choice, string, string][] = [
  ["LEFT", "left", "share-left"],
  ["TIE", "same", "share-tie"],
  ["RIGHT", "right", "share-right"],
];

export class Disputed implements Panel {
  readonly link = "Disputed";
  readonly aboutPeople = true;
  readonly loads = "disputed pairs";
  readonly element: HTMLElement;
  private readonly list: RunList<DisputedQuestion>;

  constructor() {
    const cards = h("ul", { class: "cards" });
    this.list = new RunList(
      cards,
      "Nobody disagrees, or no question has two answers yet.",
      (question) => question.questionId,
      (view, question) => this.card(view, question),
    );
    this.element = panelSection("disputed", "Most disputed pairs", null, this.list.empty, cards);
  }

  async load(view: RunView) {
    const questions = await view.client.listDisagreements(view.run.id);
    return () =>
      this.list.set(
        view,
        questions.filter(({ disagreement }) => disagreement > 0),
      );
  }

  private card(view: RunView, question: DisputedQuestion): Row<DisputedQuestion> {
    const clips = new PairView(view, question.clipIds).loadInSight();
    const bar = h("div", { class: "shares" });
    const answers = h("ul", { class: "answers" });
    const amount = h("p", { class: "quiet" });
    const pair = question.clipIds.length === 2;
    const element = h(
      "li",
      { class: "card" },
      clips.element,
      bar,
      answers,
      h(
        "div",
        { class: "card-foot" },
        amount,
        pair &&
          button("Make gold …", () => makeGold(view, question.clipIds), {
            class: "small",
            "aria-label": `Make question ${question.questionId} a gold pair`,
          }),
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
    return { element, update, remove: () => clips.close() };
  }
}
