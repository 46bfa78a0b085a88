// The run's curves, over labels or over steps.
import { h } from "../../common/dom";
import { Chart, type ChartData, type ChartOptions } from "../chart";
import { percent } from "../formats";
import type { Evaluation, MetricPoint, Run } from "../model";
import { type Panel, panelSection, type RunView } from "../panel";

type Axis = "labels" | "steps";

const accuracyName = "reward/accuracy";

function wantedMetrics(run: Run): string[] {
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

export class Learning implements Panel {
  readonly link = "Learning";
  readonly loads = "curves";
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
    this.element = panelSection(
      "learning",
      "Learning",
      h(
        "fieldset",
        { class: "segments" },
        h("legend", {}, "over"),
        choose("labels"),
        choose("steps"),
      ),
      this.grid,
    );
  }

  async load(view: RunView) {
    const { run, client } = view;
    const [points, evaluations] = await Promise.all([
      client.listMetrics(run.id, wantedMetrics(run)),
      view.evaluations(),
    ]);
    return () => {
      if (run.id !== this.run?.id) {
        for (const chart of this.charts.values()) chart.remove();
        this.charts.clear();
      }
      this.run = run;
      this.points = points;
      this.evaluations = evaluations;
      this.draw();
    };
  }

  private draw(): void {
    const { run } = this;
    if (!run) return;
    const empty = "Comes with the first evaluation of the policy.";
    const bandNames: [string, string] = ["least", "most"];
    if (run.hasTrueReward) {
      this.curve("true_return", (e) => e.trueReturn, {
        title: "True return",
        note: "What the policy is really worth: mean of an evaluation, least to most of its episodes shaded. The training never sees it.",
        empty,
        color: "--series-1",
        bandNames,
      });
    }
    this.curve("predicted_return", undefined, {
      title: run.learned ? "Predicted return" : "Return of the evaluation",
      note: "What the reward model thinks of the same episodes. It has no fixed unit: the scale moves as the model learns.",
      empty,
      color: "--series-2",
    });
    for (const metric of run.metricNames) {
      this.curve(metric, (e) => e.metrics.get(metric), {
        title: readable(metric),
        note: "In one evaluation episode: mean, least to most shaded.",
        empty,
        color: "--series-3",
        bandNames,
      });
    }
    if (run.learned) {
      this.curve(accuracyName, undefined, {
        title: "Reward model’s accuracy",
        note: "Share of held-out labels that it predicts. Where people disagree, it cannot reach 100 %.",
        empty: "Comes with the first update of the reward model.",
        color: "--series-4",
        range: [0.4, 1],
        format: percent,
        reference: { value: 0.5, label: "guessing" },
      });
    }
  }

  // Draws a metric; `value`: what it was in an evaluation episode, for the band.
  private curve(
    metric: string,
    value: ((evaluation: Evaluation) => number | undefined) | undefined,
    options: ChartOptions,
  ): void {
    let chart = this.charts.get(metric);
    if (!chart) {
      chart = new Chart({ ...options, sync: "learning" });
      this.charts.set(metric, chart);
      this.grid.append(chart.element);
    }
    chart.set(this.series(metric, value && spread(this.evaluations, value)));
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
