// The labelers, how well they answer, and a way to pause them.
import { button, h, setText } from "../../common/dom";
import { ask } from "../dialog";
import { ago, percent, plural, seconds, svg, whole } from "../formats";
import type { Row } from "../keyed_list";
import type { Dashboard, Labeler } from "../model";
import { type Panel, panelSection, RunList, type RunView } from "../panel";
import { Tile } from "../tile";
import { agreementWords, labelerStateWords } from "../words";

interface Column {
  name: string;
  title: string;
  // For sorting; undefined sorts last.
  value: (labeler: Labeler) => number | string | undefined;
  draw: (cell: HTMLElement, labeler: Labeler) => void;
}

function share(value: number | undefined, of?: string): string {
  return value === undefined ? "–" : percent(value) + (of ? ` ${of}` : "");
}

// A point on a line from 0 to 1 with its interval: 90 % of the belief.
function interval(mean: number, low: number, high: number): SVGElement {
  const x = (value: number) => 4 + 92 * Math.min(1, Math.max(0, value));
  const text = `${percent(mean)}, between ${percent(low)} and ${percent(high)}`;
  const picture = svg(
    "svg",
    {
      viewBox: "0 0 100 16",
      width: 100,
      height: 16,
      role: "img",
      "aria-label": text,
      class: "interval",
    },
    svg("line", { x1: 4, x2: 96, y1: 8, y2: 8, class: "scale" }),
    svg("line", { x1: x(0.5), x2: x(0.5), y1: 3, y2: 13, class: "scale" }),
    svg("line", { x1: x(low), x2: x(high), y1: 8, y2: 8, class: "range" }),
    svg("circle", { cx: x(mean), cy: 8, r: 4, class: mean < 0.5 ? "point bad" : "point" }),
  );
  return picture;
}

// Which side is preferred: a tick that leaves the middle.
function bias(left: number): SVGElement {
  const x = 4 + 52 * (1 - left);
  return svg(
    "svg",
    { viewBox: "0 0 60 16", width: 60, height: 16, "aria-hidden": "true", class: "interval" },
    svg("line", { x1: 4, x2: 56, y1: 8, y2: 8, class: "scale" }),
    svg("line", { x1: 30, x2: 30, y1: 3, y2: 13, class: "scale" }),
    svg("line", { x1: 30, x2: x, y1: 8, y2: 8, class: "range" }),
    svg("circle", {
      cx: x,
      cy: 8,
      r: 4,
      class: Math.abs(left - 0.5) > 0.2 ? "point bad" : "point",
    }),
  );
}

const columns: Column[] = [
  {
    name: "Labels",
    title: "Standing answers",
    value: (l) => l.labels,
    draw: (cell, l) => setText(cell, whole(l.labels)),
  },
  {
    name: "Median",
    title: "Median time of a decision",
    value: (l) => (l.labels ? l.medianSeconds : undefined),
    draw: (cell, l) => setText(cell, l.labels ? seconds(l.medianSeconds) : "–"),
  },
  {
    name: "Gold",
    title: "Share of right answers to gold pairs, and how many were asked",
    value: (l) => l.goldScore,
    draw: (cell, l) =>
      setText(cell, l.goldScore === undefined ? "–" : share(l.goldScore, `of ${l.goldAnswers}`)),
  },
  {
    name: "Repeats",
    title: "Share of repeated pairs that were answered as before, and how many were asked",
    value: (l) => l.selfConsistency,
    draw: (cell, l) =>
      setText(
        cell,
        l.selfConsistency === undefined ? "–" : share(l.selfConsistency, `of ${l.repeats}`),
      ),
  },
  {
    name: "Side bias",
    title: "Share of left among left and right: one half is fair, since sides are drawn by lot",
    value: (l) => l.leftShare,
    draw: (cell, l) => {
      if (l.leftShare === undefined) setText(cell, "–");
      else cell.replaceChildren(bias(l.leftShare), h("small", {}, `${percent(l.leftShare)} left`));
    },
  },
  {
    name: "Reliability",
    title:
      "As the reward model has learned it: probability that an answer is what they saw as better, with a 90 % interval. Under one half: they answer the other way round",
    value: (l) => l.reliability,
    draw: (cell, l) => {
      if (l.reliability === undefined) setText(cell, "–");
      else {
        cell.replaceChildren(
          interval(
            l.reliability,
            l.reliabilityLow ?? l.reliability,
            l.reliabilityHigh ?? l.reliability,
          ),
          h("small", {}, percent(l.reliability)),
        );
      }
    },
  },
  {
    name: "Dawid–Skene",
    title: "Probability of a right answer, found from the pairs that several people answered",
    value: (l) => l.dawidSkene,
    draw: (cell, l) => setText(cell, share(l.dawidSkene)),
  },
  {
    name: "Cannot tell",
    title: "Share of answers “cannot tell”",
    value: (l) => l.cannotTellShare,
    draw: (cell, l) => setText(cell, share(l.cannotTellShare)),
  },
  {
    name: "Last answer",
    title: "When they answered last",
    value: (l) => l.lastAnswerMs || undefined,
    draw: (cell, l) => setText(cell, ago(l.lastAnswerMs)),
  },
];

export class Labelers implements Panel {
  readonly link = "Labelers";
  readonly aboutPeople = true;
  readonly loads = "labelers";
  readonly element: HTMLElement;
  private view?: RunView;
  private labelers: Labeler[] = [];
  private sortBy = "Labels";
  private falling = true;
  private readonly heads: { name: string; cell: HTMLElement }[] = [];
  private readonly list: RunList<Labeler>;
  private readonly table: HTMLElement;
  private readonly nominal = new Tile("Agreement (alpha)");
  private readonly ordinal = new Tile("Ordinal alpha");
  private readonly meaning = h("p", { class: "meaning" });

  constructor() {
    const sorts = [
      { name: "Labeler", title: "Pseudonym" },
      { name: "State", title: "Whether they get questions" },
      ...columns,
    ];
    const head = h("tr");
    for (const { name, title } of sorts) {
      const cell = h(
        "th",
        { scope: "col" },
        button(name, () => this.sort(name), { class: "sort", title }),
      );
      this.heads.push({ name, cell });
      head.append(cell);
    }
    const body = h("tbody");
    this.list = new RunList(
      body,
      "Nobody has answered yet. Invite people with “backflip labeler invite”.",
      (labeler) => labeler.id,
      (view, labeler) => this.row(view, labeler),
    );
    this.table = h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of labelers" },
      h("table", { class: "labelers" }, h("thead", {}, head), body),
    );
    this.element = panelSection(
      "labelers",
      "Labelers and agreement",
      null,
      h(
        "div",
        { class: "agreement" },
        h("dl", { class: "tiles" }, this.nominal.element, this.ordinal.element),
        h(
          "div",
          {},
          this.meaning,
          h(
            "p",
            { class: "quiet" },
            "Krippendorff’s alpha: 1 is perfect agreement, 0 is chance, under 0 is worse than chance. From 0.80 it counts as firm, from 0.67 as tentative.",
          ),
        ),
      ),
      this.list.empty,
      this.table,
    );
  }

  async load(view: RunView) {
    const labelers = await view.labelers();
    return () => {
      this.view = view;
      this.labelers = labelers;
      this.table.hidden = labelers.length === 0;
      this.draw();
    };
  }

  show({ agreement }: Dashboard): void {
    const { nominal, ordinal, questions, answers } = agreement;
    this.nominal.set(
      nominal?.toFixed(2) ?? "–",
      questions === 0
        ? "no overlap yet"
        : `${plural(answers, "answer")} to ${plural(questions, "pair")}`,
    );
    this.ordinal.set(ordinal?.toFixed(2) ?? "–", "“same” lies between left and right");
    setText(this.meaning, agreementWords(agreement));
  }

  private sort(name: string): void {
    this.falling = this.sortBy === name ? !this.falling : name !== "Labeler";
    this.sortBy = name;
    this.draw();
  }

  private draw(): void {
    if (!this.view) return;
    for (const { name, cell } of this.heads) {
      const sorted = name === this.sortBy;
      if (sorted) cell.setAttribute("aria-sort", this.falling ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
    const value =
      this.sortBy === "Labeler"
        ? (l: Labeler) => l.name.toLowerCase()
        : this.sortBy === "State"
          ? (l: Labeler) => labelerStateWords[l.state]
          : columns.find((column) => column.name === this.sortBy)!.value;
    const direction = this.falling ? -1 : 1;
    const sorted = [...this.labelers].sort((a, b) => {
      const x = value(a);
      const y = value(b);
      if (x === undefined || y === undefined)
        return x === y ? a.id - b.id : x === undefined ? 1 : -1;
      return (x < y ? -1 : x > y ? 1 : 0) * direction || a.id - b.id;
    });
    this.list.set(this.view, sorted);
  }

  private row(view: RunView, first: Labeler): Row<Labeler> {
    let labeler = first;
    const state = h("span", { class: "chip" });
    const reason = h("small", { class: "words" });
    const name = h("span", { class: "name" });
    const change = button("", () => this.change(view, labeler), { class: "small" });
    const cells = columns.map(() => h("td"));
    let drawn = "";
    const element = h(
      "tr",
      {},
      h(
        "th",
        { scope: "row" },
        name,
        first.teacher ? h("span", { class: "chip plain" }, "teacher") : null,
      ),
      h("td", {}, h("div", { class: "state" }, state, change), reason),
      ...cells,
    );
    return {
      element,
      update: (now: Labeler) => {
        labeler = now;
        setText(name, now.name);
        setText(state, labelerStateWords[now.state]);
        state.dataset.state = now.state;
        setText(reason, now.reason);
        const verb = now.state === "ACTIVE" ? "Pause" : "Resume";
        setText(change, verb);
        change.setAttribute("aria-label", `${verb} ${now.name}`);
        change.hidden = now.state === "REVOKED";
        const key = JSON.stringify({ ...now, lastAnswerMs: ago(now.lastAnswerMs) });
        if (key === drawn) return;
        drawn = key;
        for (const [i, column] of columns.entries()) column.draw(cells[i]!, now);
      },
    };
  }

  private change(view: RunView, labeler: Labeler): void {
    const pausing = labeler.state === "ACTIVE";
    const reason = h("input", { type: "text", maxlength: 500 });
    ask({
      title: pausing ? `Pause ${labeler.name}?` : `Resume ${labeler.name}?`,
      body: pausing
        ? [
            h(
              "p",
              {},
              "They get no more questions until somebody resumes them, and their page says why. Their answers stay.",
            ),
            h("label", { class: "field" }, h("span", {}, "Why (they read this)"), reason),
          ]
        : [h("p", {}, "They get questions again at once.")],
      action: pausing ? "Pause" : "Resume",
      run: async () => {
        await view.client.setLabelerState(
          labeler.id,
          pausing ? "LABELER_PAUSED" : "ACTIVE",
          reason.value.trim(),
        );
        view.changed();
      },
    });
  }
}
