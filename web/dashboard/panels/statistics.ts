// The numbers that the policy's algorithm and the reward model report of themselves, by
// their names: a new algorithm has its curves here without a change of the page.
import { h } from "../../common/dom";
import { Chart } from "../chart";
import { type Panel, panelSection, type RunView } from "../panel";

// What those that are known mean.
const notes: Record<string, string> = {
  "policy/clipped": "Share of steps whose update was clipped.",
  "policy/entropy": "How freely the policy tries things; it falls as the policy settles.",
  "policy/explained_variance": "How well the value network predicts returns; 1 is perfect.",
  "policy/kl": "How far the last update moved the policy.",
  "policy/lower_return": "What an evaluation is worth at least by the reward ensemble's members.",
  "policy/skipped_steps": "Steps of the last update that were no finite numbers and left out.",
  "reward/held_out_loss": "Loss on labels that were not trained on; it rises when overfitting.",
  "reward/loss": "Loss on the labels that were trained on.",
};

export class Statistics implements Panel {
  readonly link = "Statistics";
  readonly loads = "statistics";
  readonly element: HTMLElement;
  private readonly grid = h("div", { class: "charts" });
  private readonly details = h(
    "details",
    { toggle: () => this.view?.changed() },
    h("summary", {}, "Show the curves"),
    this.grid,
  );
  private readonly charts = new Map<string, Chart>();
  private view?: RunView;

  constructor() {
    this.element = panelSection("statistics", "Inside the training", null, this.details);
  }

  // Nothing is asked for while the curves are folded away.
  async load(view: RunView) {
    const { run, client } = view;
    if (run.id !== this.view?.run.id) {
      for (const chart of this.charts.values()) chart.remove();
      this.charts.clear();
    }
    this.view = view;
    const names = [...run.metrics.keys()].filter((name) => name.includes("/")).sort();
    if (!this.details.open || names.length === 0) return undefined;
    const points = await client.listMetrics(run.id, names);
    return () => {
      for (const name of names) {
        const curve = points
          .filter((point) => point.name === name)
          .sort((a, b) => a.iteration - b.iteration);
        this.chart(name).set({
          x: curve.map(({ steps }) => steps),
          y: curve.map(({ value }) => value),
          xName: "steps",
        });
      }
    };
  }

  private chart(name: string): Chart {
    let chart = this.charts.get(name);
    if (!chart) {
      chart = new Chart({
        title: name.replaceAll("_", " ").replace("/", ": "),
        note: notes[name],
        empty: "No value yet.",
        color: name.startsWith("reward/") ? "--series-4" : "--series-2",
        sync: "statistics",
      });
      this.charts.set(name, chart);
      this.grid.append(chart.element);
    }
    return chart;
  }
}
