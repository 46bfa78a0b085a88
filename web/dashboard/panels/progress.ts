// What people see of the policy's progress.
import { Chart } from "../chart";
import { percent } from "../formats";
import type { Dashboard } from "../model";
import { type Panel, panelSection } from "../panel";

export class Progress implements Panel {
  readonly link = "Progress";
  readonly aboutPeople = true;
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

  readonly element = panelSection(
    "progress",
    "Progress in people’s eyes",
    null,
    this.chart.element,
  );

  show({ progress }: Dashboard): void {
    this.chart.set(
      progress.length === 0
        ? undefined
        : {
            x: progress.map((point) => point.steps),
            y: progress.map((point) => point.winRate),
            low: progress.map((point) => point.low),
            high: progress.map((point) => point.high),
            xName: "steps",
          },
    );
  }
}
