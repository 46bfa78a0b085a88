// The run's curves, over labels or over steps, and what people see of the
// policy's progress.
import { h } from "../../common/dom";
import { Chart, type ChartData } from "../chart";
import { percent } from "../formats";
import type { Evaluation, MetricPoint, ProgressPoint, Run } from "../model";

type Axis = "labels" | "steps";

const accuracyName = "reward/accuracy";

export function wantedMetrics(run: Run): string[] {
  return ["true_return", "predicted_return", accuracyName, ...run.metricNames];
}

// Evaluations of one iteration: least and most over the episodes.
function spread(
  evaluations: readonly Evaluation[],
  value: (evaluation: Evaluation) => number | undefined,
): Map<number, [number, number]> {
  const ranges = new Map<number, [number, number]>();
  for (const evaluation of evaluations) {
    const v = value(evaluation);
    if (v === undefined || evaluation.final) continue;
    const range = ranges.get(evaluation.iteration);
    if (!range) ranges.set(evaluation.iteration, [v, v]);
    else ranges.set(evaluation.iteration, [Math.min(range[0], v), Math.max(range[1], v)]);
  }
  return ranges;
}

function readable(metric: string): string {
  const words = metric.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export class Learning {
  readonly element: HTMLElement;
  private axis: Axis = "labels";
  private readonly grid = h("div", { class: "charts" });
  private readonly charts = new Map<string, Chart>();
  private run?: Run;
  private points: MetricPoint[] = [];
  private evaluations: Evaluation[] = [];

  constructor() {
    const choose = (axis: Axis) =>
      h(
        "label",
        {},
        h("input", {
          type: "radio",
          name: "axis",
          value: axis,
          checked: axis === this.axis,
          change: () => {
            this.axis = axis;
            this.draw();
          },
        }),
        ` ${axis}`,
      );
    this.element = h(
      "section",
      { id: "learning", "aria-labelledby": "learning-title" },
      h(
        "div",
        { class: "section-head" },
        h("h2", { id: "learning-title" }, "Learning"),
        h(
          "fieldset",
          { class: "segments" },
          h("legend", {}, "over"),
          choose("labels"),
          choose("steps"),
        ),
      ),
      this.grid,
    );
  }

  update(run: Run, points: MetricPoint[], evaluations: Evaluation[]): void {
    if (run.id !== this.run?.id) {
      for (const chart of this.charts.values()) chart.remove();
      this.charts.clear();
    }
    this.run = run;
    this.points = points;
    this.evaluations = evaluations;
    this.draw();
  }

  private chart(name: string, make: () => Chart): Chart {
    let chart = this.charts.get(name);
    if (!chart) {
      chart = make();
      this.charts.set(name, chart);
      this.grid.append(chart.element);
    }
    return chart;
  }

  private draw(): void {
    const run = this.run;
    if (!run) return;
    const sync = "learning";
    const bandNames: [string, string] = ["least", "most"];
    const afterEvaluation = "Comes with the first evaluation of the policy.";
    if (run.hasTrueReward) {
      this.chart(
        "true_return",
        () =>
          new Chart({
            title: "True return",
            note: "What the policy is really worth: mean of an evaluation, least to most of its episodes shaded. The training never sees it.",
            empty: afterEvaluation,
            color: "--series-1",
            bandNames,
            sync,
          }),
      ).set(
        this.series(
          "true_return",
          spread(this.evaluations, (e) => e.trueReturn),
        ),
      );
    }
    this.chart(
      "predicted_return",
      () =>
        new Chart({
          title: run.learned ? "Predicted return" : "Return of the evaluation",
          note: "What the reward model thinks of the same episodes. Its unit is its own, and moves as it learns.",
          empty: afterEvaluation,
          color: "--series-2",
          sync,
        }),
    ).set(this.series("predicted_return"));
    for (const metric of run.metricNames) {
      this.chart(
        metric,
        () =>
          new Chart({
            title: readable(metric),
            note: "Of one evaluation episode: mean, least to most shaded.",
            empty: afterEvaluation,
            color: "--series-3",
            bandNames,
            sync,
          }),
      ).set(
        this.series(
          metric,
          spread(this.evaluations, (e) => e.metrics.get(metric)),
        ),
      );
    }
    if (run.learned) {
      this.chart(
        accuracyName,
        () =>
          new Chart({
            title: "Reward model’s accuracy",
            note: "Share of held-out labels that it predicts. People who disagree set a ceiling below 100 %.",
            empty: "Comes with the first update of the reward model.",
            color: "--series-4",
            range: [0.4, 1],
            format: percent,
            reference: { value: 0.5, label: "guessing" },
            sync,
          }),
      ).set(this.series(accuracyName));
    }
  }

  private series(name: string, ranges?: Map<number, [number, number]>): ChartData | undefined {
    const points = this.points
      .filter((point) => point.name === name)
      .sort((a, b) => a.iteration - b.iteration);
    if (points.length === 0) return undefined;
    const axis = this.axis;
    return {
      x: points.map((point) => point[axis]),
      y: points.map((point) => point.value),
      ...(ranges && ranges.size > 0
        ? {
            low: points.map((point) => ranges.get(point.iteration)?.[0] ?? null),
            high: points.map((point) => ranges.get(point.iteration)?.[1] ?? null),
          }
        : {}),
      xName: axis,
    };
  }
}

export class Progress {
  readonly element: HTMLElement;
  private readonly chart = new Chart({
    title: "Wins of the newest policy against earlier ones",
    note: "90 % interval shaded. Over one half: people see it getting better. If the predicted return rises and this does not, the policy may be gaming the reward model.",
    empty:
      "No answer to a progress pair yet. They are asked when queries.progress_share is set: a small share of pairs sets the newest policy against earlier ones.",
    color: "--series-1",
    range: [0, 1],
    format: percent,
    reference: { value: 0.5, label: "no better than before" },
    points: true,
    height: 230,
  });

  constructor() {
    this.element = h(
      "section",
      { id: "progress", "aria-labelledby": "progress-title" },
      h(
        "div",
        { class: "section-head" },
        h("h2", { id: "progress-title" }, "Progress in people’s eyes"),
      ),
      this.chart.element,
    );
  }

  update(points: readonly ProgressPoint[]): void {
    this.chart.set(
      points.length === 0
        ? undefined
        : {
            x: points.map((point) => point.steps),
            y: points.map((point) => point.winRate),
            low: points.map((point) => point.low),
            high: points.map((point) => point.high),
            xName: "steps",
          },
    );
  }
}
