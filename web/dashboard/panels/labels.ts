// Every label, with filters and pages.
import { answerWords, type Choice, choiceWords, sameAnswer } from "../../common/answers";
import { button, factList, h, setText } from "../../common/dom";
import { sentence } from "../../common/failures";
import { show } from "../dialog";
import { ago, plural, seconds, time } from "../formats";
import { makeGold } from "../gold_dialog";
import type { Label, LabelFilter, Purpose } from "../model";
import { PairView } from "../pair";
import { type Panel, panelSection, type RunView } from "../panel";
import { purposeWords } from "../words";

function select<T extends string>(words: Record<T, string>): HTMLSelectElement {
  return h(
    "select",
    {},
    h("option", { value: "" }, "all"),
    ...Object.entries<string>(words).map(([value, text]) => h("option", { value }, text)),
  );
}

export class Labels implements Panel {
  readonly link = "Labels";
  readonly aboutPeople = true;
  readonly loads = "labels";
  readonly element: HTMLElement;
  private view?: RunView;
  // Where each page begins; the last is the one shown.
  private pages: number[] = [0];
  private drawn = "";
  private asked = 0;
  private readonly labeler = h("select", {}, h("option", { value: "" }, "all"));
  private readonly purpose = select(purposeWords);
  private readonly choice = select(choiceWords);
  private readonly question = h("input", { type: "number", min: 1, inputmode: "numeric" });
  private readonly note = h("input", { type: "checkbox" });
  private readonly superseded = h("input", { type: "checkbox" });
  private readonly body = h("tbody");
  private readonly table: HTMLElement;
  private readonly empty = h("p", { class: "empty" });
  private readonly newer = button("Newer", () => this.turn(-1));
  private readonly older = button("Older", () => this.turn(1));
  private readonly place = h("span", { class: "quiet", role: "status" });
  private shown: Label[] = [];

  constructor() {
    const field = (text: string, input: HTMLElement) =>
      h("label", { class: "field" }, h("span", {}, text), input);
    const check = (text: string, input: HTMLElement) =>
      h("label", { class: "check" }, input, ` ${text}`);
    const filters = h(
      "form",
      {
        class: "filters",
        role: "search",
        "aria-label": "Filter labels",
        change: () => this.filter(),
        submit: (event) => {
          event.preventDefault();
          this.filter();
        },
      },
      field("Labeler", this.labeler),
      field("Purpose", this.purpose),
      field("Answer", this.choice),
      field("Question", this.question),
      check("with a note", this.note),
      check("also replaced ones", this.superseded),
      h(
        "button",
        { type: "reset", class: "small", click: () => setTimeout(() => this.filter()) },
        "Clear",
      ),
    );
    const heads = [
      "Label",
      "When",
      "Labeler",
      "Purpose",
      "Answer, as shown",
      "Decided in",
      "Question",
      "Note",
      "Clips",
    ];
    this.table = h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of labels" },
      h(
        "table",
        { class: "labels" },
        h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))),
        this.body,
      ),
    );
    this.element = panelSection(
      "labels",
      "All labels",
      null,
      filters,
      this.empty,
      this.table,
      h("div", { class: "paging" }, this.newer, this.place, this.older),
    );
  }

  async load(view: RunView) {
    const labelers = await view.labelers();
    return () => this.update(view, labelers.map(({ name }) => name).sort());
  }

  // The run has moved on: the newest page follows, an older one stays.
  private update(view: RunView, labelers: readonly string[]): void {
    if (view.run.id !== this.view?.run.id) this.pages = [0];
    this.view = view;
    const chosen = this.labeler.value;
    if (
      labelers.join("\n") !==
      [...this.labeler.options]
        .slice(1)
        .map((option) => option.value)
        .join("\n")
    ) {
      this.labeler.replaceChildren(
        h("option", { value: "" }, "all"),
        ...labelers.map((name) => h("option", { value: name }, name)),
      );
      this.labeler.value = chosen;
    }
    if (this.pages.length === 1) void this.loadPage();
  }

  private filter(): void {
    this.pages = [0];
    void this.loadPage();
  }

  private turn(direction: 1 | -1): void {
    if (direction === 1) this.pages.push(this.shown[this.shown.length - 1]!.labelId);
    else this.pages.pop();
    void this.loadPage();
    this.element.scrollIntoView({ block: "start" });
  }

  private current(): LabelFilter {
    return {
      labeler: this.labeler.value,
      purpose: (this.purpose.value || undefined) as Purpose | undefined,
      choice: (this.choice.value || undefined) as Choice | undefined,
      questionId: Number(this.question.value) || 0,
      withNote: this.note.checked,
      superseded: this.superseded.checked,
      beforeLabelId: this.pages[this.pages.length - 1]!,
    };
  }

  private async loadPage(): Promise<void> {
    const { view } = this;
    if (!view) return;
    const asked = ++this.asked;
    try {
      const { labels, more } = await view.client.listLabels(view.run.id, this.current());
      if (asked === this.asked) this.draw(view, labels, more);
    } catch (failure) {
      if (asked === this.asked) setText(this.place, sentence(failure));
    }
  }

  private draw(view: RunView, labels: Label[], more: boolean): void {
    const filtered = Object.values({ ...this.current(), beforeLabelId: 0 }).some(Boolean);
    setText(
      this.empty,
      filtered ? "No label fits this filter." : "No labels yet. They appear here as people answer.",
    );
    this.empty.hidden = labels.length > 0;
    this.table.hidden = labels.length === 0;
    this.newer.disabled = this.pages.length === 1;
    this.older.disabled = !more;
    setText(
      this.place,
      labels.length === 0 ? "" : `Page ${this.pages.length}, ${plural(labels.length, "label")}`,
    );
    const key = JSON.stringify([view.run.id, labels]);
    if (key === this.drawn) return;
    this.drawn = key;
    this.shown = labels;
    const focused = (document.activeElement as HTMLElement | null)?.dataset.label;
    this.body.replaceChildren(...labels.map((label) => this.row(view, label)));
    if (focused) this.body.querySelector<HTMLElement>(`[data-label="${Number(focused)}"]`)?.focus();
  }

  private row(view: RunView, label: Label): HTMLElement {
    const marks = [
      label.expected ? (sameAnswer(label.answer, label.expected) ? "right" : "wrong") : "",
      label.surplus ? "surplus" : "",
      label.undoCount ? `changed ${plural(label.undoCount, "time")}` : "",
    ].filter(Boolean);
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, String(label.labelId)),
      h("td", { title: time(label.answeredMs) }, ago(label.answeredMs)),
      h("td", { class: "name" }, label.labeler),
      h("td", {}, purposeWords[label.purpose] ?? label.purpose),
      h(
        "td",
        {},
        answerWords(label.answer),
        ...marks.map((mark) =>
          h("span", { class: mark === "wrong" ? "chip bad" : "chip plain" }, mark),
        ),
      ),
      h("td", {}, seconds(label.decisionMs / 1000)),
      h("td", {}, String(label.questionId)),
      h("td", { class: "words" }, label.note),
      h(
        "td",
        {},
        button("Show", () => this.open(view, label), {
          class: "small",
          "aria-label": `Show the clips of label ${label.labelId}`,
          "data-label": label.labelId,
        }),
      ),
    );
  }

  private open(view: RunView, label: Label): void {
    const clips = new PairView(view, label.clipIds);
    void clips.load();
    const facts: [string, string][] = [
      ["Labeler", label.labeler],
      ["Answer", answerWords(label.answer)],
      ...(label.expected
        ? ([["Right answer", answerWords(label.expected)]] as [string, string][])
        : []),
      ["When", time(label.answeredMs)],
      ["Decided in", `${seconds(label.decisionMs / 1000)}, ${plural(label.loops, "loop")}`],
      ["Active for", seconds(label.activeMs / 1000)],
      [
        "Asked for",
        `${purposeWords[label.purpose] ?? label.purpose}, round ${label.round}, chosen by ${label.selector || "–"}`,
      ],
      ["Sides", label.turned ? "swapped" : "as asked"],
      ["Client", label.client || "–"],
      ...(label.note ? ([["Note", label.note]] as [string, string][]) : []),
    ];
    const gold = button("Make gold …", () => {
      dialog.close();
      makeGold(view, label.clipIds, label.answer);
    });
    const dialog = show(
      `Label ${label.labelId}, question ${label.questionId}`,
      [clips.element, factList(facts), ...(label.clipIds.length === 2 ? [gold] : [])],
      () => clips.close(),
    );
  }
}
