// Pairs with a known answer.
import { choiceWords } from "../../common/answers";
import { button, h, setText } from "../../common/dom";
import { ask } from "../dialog";
import { percent, plural, whole } from "../formats";
import type { Row } from "../keyed_list";
import type { GoldPair } from "../model";
import { PairView } from "../pair";
import { type Panel, panelSection, RunList, type RunView } from "../panel";
import { useNotes, useWords } from "../words";

export class Gold implements Panel {
  readonly link = "Gold";
  readonly aboutPeople = true;
  readonly loads = "gold pairs";
  readonly element: HTMLElement;
  private readonly list: RunList<GoldPair>;

  constructor() {
    const cards = h("ul", { class: "cards" });
    this.list = new RunList(
      cards,
      "No gold pairs yet. Make one of a disputed pair or of any label: answers to it tell how carefully labelers look.",
      (pair) => pair.goldId,
      (view, pair) => this.card(view, pair),
    );
    this.element = panelSection("gold", "Gold pairs", null, this.list.empty, cards);
  }

  async load(view: RunView) {
    const pairs = await view.client.listGold(view.run.id);
    return () => this.list.set(view, pairs);
  }

  private card(view: RunView, pair: GoldPair): Row<GoldPair> {
    const clips = new PairView(view, pair.clipIds).loadInSight();
    const score = h("p", { class: "quiet" });
    const remove = button("Remove", () => this.confirmRemoval(view, pair), {
      class: "small danger-text",
      "aria-label": `Remove gold pair ${pair.goldId}`,
    });
    const element = h(
      "li",
      { class: "card" },
      clips.element,
      h(
        "p",
        {},
        h("strong", {}, choiceWords[pair.answer]),
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
      remove: () => clips.close(),
    };
  }

  private confirmRemoval(view: RunView, pair: GoldPair): void {
    ask({
      title: "Remove this gold pair?",
      body: [
        h("p", {}, "It is no longer asked. Answers to it stay, and still count in gold scores."),
      ],
      action: "Remove",
      danger: true,
      run: async () => {
        await view.client.removeGold(pair.goldId);
        view.changed();
      },
    });
  }
}
