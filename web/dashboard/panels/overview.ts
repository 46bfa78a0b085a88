// What is going on, in numbers: the row under the head, and alerts.
import { h, setText } from "../../common/dom";
import { number, percent, plural, short, whole } from "../formats";
import { KeyedList } from "../keyed_list";
import type { Dashboard } from "../model";
import type { Panel } from "../panel";
import { Tile } from "../tile";
import { queueWords, runStateWords, stateSentence } from "../words";

export class Overview implements Panel {
  readonly element: HTMLElement;
  private readonly state = h("span", { class: "chip" });
  private readonly sentence = h("span", { role: "status" });
  private readonly task = h("p", { class: "question" });
  private readonly labels = new Tile("Labels", true);
  private readonly steps = new Tile("Steps of training", true);
  private readonly accuracy = new Tile("Reward model’s accuracy");
  private readonly queue = new Tile("Questions waiting");
  private readonly pace = new Tile("Labels in the last hour");
  private readonly people = new Tile("Labelers at work");
  private readonly alertList = h("ul", { class: "alerts", "aria-live": "polite" });
  private readonly alerts = new KeyedList<string>(
    this.alertList,
    (text) => text,
    (text) => ({ element: h("li", {}, text), update: () => {} }),
  );

  constructor() {
    this.element = h(
      "section",
      { class: "overview", "aria-label": "Overview" },
      h("p", { class: "standing" }, this.state, this.sentence),
      this.task,
      this.alertList,
      h(
        "dl",
        { class: "tiles" },
        ...[this.labels, this.steps, this.accuracy, this.queue, this.pace, this.people].map(
          (tile) => tile.element,
        ),
      ),
    );
  }

  show(dashboard: Dashboard): void {
    const { run } = dashboard;
    setText(this.state, runStateWords[run.state]);
    this.state.dataset.state = run.state;
    this.state.dataset.limit = run.limit;
    setText(this.sentence, stateSentence(run));
    const origin = run.forkedFromRun
      ? ` Forked from run ${run.forkedFromRun}, version ${run.forkedFromVersion}.`
      : "";
    setText(this.task, `${run.task}: “${run.question}” Seed ${run.seed}.${origin}`);
    this.labels.set(
      `${whole(run.labels)}`,
      `of ${whole(run.labelBudget)} wanted`,
      run.labels / run.labelBudget,
    );
    this.steps.set(
      short(run.steps),
      `of ${short(run.stepBudget)}, iteration ${whole(run.iterations)}`,
      run.steps / run.stepBudget,
    );
    const accuracy = run.metrics.get("reward/accuracy");
    this.accuracy.set(
      accuracy === undefined ? "–" : percent(accuracy),
      accuracy === undefined ? "after the first update" : "of held-out labels predicted",
    );
    this.queue.set(whole(dashboard.openQuestions), queueWords(dashboard));
    this.pace.set(
      whole(dashboard.labelsLastHour),
      `${number(dashboard.labelsLastHour / 60)} a minute`,
    );
    this.people.set(whole(dashboard.activeLabelers), "in the last two minutes");
    this.alerts.set([...new Set(dashboard.alerts)]);
    this.alertList.hidden = dashboard.alerts.length === 0;
    document.title = `${plural(run.labels, "label")} · run ${run.id} · Backflip`;
  }
}
