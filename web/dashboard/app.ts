// The dashboard: one long poll says when the run has moved; then the panels ask again
// for what depends on it.
import { button, h, setText } from "../common/dom";
import { sentence } from "../common/failures";
import type { CanvasRenderer } from "../viewer/canvas_renderer";
import type { BrokerClient } from "./client";
import { ask } from "./dialog";
import type { Dashboard, Run } from "./model";
import { type Panel, RunView } from "./panel";
import { Disputed } from "./panels/disputed";
import { Episode } from "./panels/episode";
import { Gold } from "./panels/gold";
import { Labelers } from "./panels/labelers";
import { Labels } from "./panels/labels";
import { Learning } from "./panels/learning";
import { NewestClips } from "./panels/newest_clips";
import { Overview } from "./panels/overview";
import { Progress } from "./panels/progress";
import { Statistics } from "./panels/statistics";
import { runStateWords } from "./words";

// Least time between two rounds of questions for details, however fast labels come.
const refreshMs = 2000;

// In the order of the page.
function makePanels(): Panel[] {
  return [
    new Overview(),
    new Learning(),
    new Progress(),
    new Statistics(),
    new NewestClips(),
    new Episode(),
    new Labelers(),
    new Disputed(),
    new Gold(),
    new Labels(),
  ];
}

export interface AppOptions {
  client: BrokerClient;
  renderer: CanvasRenderer;
  operator: boolean;
  name: string;
  signOut: () => void;
}

export class App {
  private stopped = false;
  // The poll rests while the page cannot be seen.
  private readonly onVisibility = () => {
    if (document.hidden) this.watching?.abort();
    else if (this.choice.value) this.watch();
  };
  private dashboard?: Dashboard;
  private runs: Run[] = [];
  private watching?: AbortController;
  private refreshed = 0;
  private refreshing = false;
  private refreshTimer = 0;

  private readonly choice = h("select", {
    "aria-label": "Run",
    change: () => this.select(Number(this.choice.value)),
    focus: () => void this.listRuns(),
  });
  private readonly stopAsking = button("Stop asking …", () => this.confirmStop());
  private readonly pause = button("Pause run …", () => this.confirmPause());
  private readonly motion = button("", () => this.toggleMotion());
  private readonly trouble = h("p", { class: "trouble", hidden: true, role: "status" });
  private readonly none = h(
    "p",
    { class: "empty big", hidden: true },
    "There is no run yet. Start one with “backflip train --human”; it appears here by itself.",
  );
  private readonly panels = makePanels();
  private readonly content: HTMLElement;

  constructor(
    root: HTMLElement,
    private readonly options: AppOptions,
  ) {
    const nav = h(
      "nav",
      { "aria-label": "Sections" },
      ...this.panels.map(({ link, element }) => {
        const goThere = (event: Event) => {
          event.preventDefault();
          element.scrollIntoView({ block: "start" });
          const head = element.querySelector("h2");
          head?.setAttribute("tabindex", "-1");
          head?.focus({ preventScroll: true });
        };
        return link && h("a", { href: `#${element.id}`, click: goThere }, link);
      }),
    );
    this.content = h("div", {}, nav, ...this.panels.map(({ element }) => element));
    this.content.hidden = true;
    this.stopAsking.hidden = this.pause.hidden = !options.operator;
    this.drawMotion();
    root.replaceChildren(
      h(
        "header",
        {},
        h("h1", {}, "Backflip", h("span", { class: "sr" }, " dashboard")),
        h("div", { class: "run-choice" }, this.choice),
        h(
          "div",
          { class: "head-buttons" },
          this.stopAsking,
          this.pause,
          this.motion,
          button("Sign out", options.signOut, { title: `Signed in as ${options.name}` }),
        ),
      ),
      h("main", {}, this.trouble, this.none, this.content),
    );
    document.addEventListener("visibilitychange", this.onVisibility);
  }

  // Asks for nothing from now on.
  stop(): void {
    this.stopped = true;
    this.watching?.abort();
    clearTimeout(this.refreshTimer);
    document.removeEventListener("visibilitychange", this.onVisibility);
  }

  async start(wanted: number): Promise<void> {
    while (!this.stopped) {
      const failure = await this.listRuns();
      if (!failure && this.runs.length > 0) break;
      this.none.hidden = !!failure;
      this.say(failure);
      await new Promise((resolve) => setTimeout(resolve, 3000));
    }
    if (this.stopped) return;
    this.none.hidden = true;
    const run = this.runs.find((candidate) => candidate.id === wanted) ?? this.runs[0]!;
    this.select(run.id);
  }

  private async listRuns(): Promise<string> {
    try {
      this.runs = await this.options.client.listRuns();
    } catch (failure) {
      return sentence(failure);
    }
    this.drawRuns();
    return "";
  }

  private drawRuns(): void {
    const texts = this.runs.map(
      (run) => [String(run.id), `Run ${run.id}: ${run.task}, ${runStateWords[run.state]}`] as const,
    );
    const options = [...this.choice.options];
    if (options.map((option) => option.value).join() === texts.map(([id]) => id).join()) {
      for (const [i, [, text]] of texts.entries()) setText(options[i]!, text);
      return;
    }
    const chosen = this.choice.value;
    this.choice.replaceChildren(...texts.map(([value, text]) => h("option", { value }, text)));
    if (chosen) this.choice.value = chosen;
  }

  private select(runId: number): void {
    this.choice.value = String(runId);
    history.replaceState(null, "", `#run=${runId}`);
    this.dashboard = undefined;
    this.watch();
  }

  private watch(): void {
    this.watching?.abort();
    const watching = new AbortController();
    this.watching = watching;
    void this.follow(Number(this.choice.value), watching.signal);
  }

  private async follow(runId: number, signal: AbortSignal): Promise<void> {
    let revision = 0;
    let failures = 0;
    while (!signal.aborted) {
      try {
        const dashboard = await this.options.client.watch(runId, revision, signal);
        if (signal.aborted) return;
        failures = 0;
        this.say("");
        const moved = dashboard.run.revision !== revision;
        revision = dashboard.run.revision;
        this.show(dashboard);
        if (moved) this.refreshSoon();
      } catch (failure) {
        if (signal.aborted) return;
        ++failures;
        revision = 0; // answered at once when it is back
        this.say(`${sentence(failure)} Trying again …`);
        await new Promise((resolve) => setTimeout(resolve, Math.min(15000, 500 * 2 ** failures)));
      }
    }
  }

  private show(dashboard: Dashboard): void {
    const before = this.dashboard;
    this.dashboard = dashboard;
    const { run } = dashboard;
    this.content.hidden = false;
    for (const panel of this.panels) {
      panel.show?.(dashboard);
      if (panel.aboutPeople) panel.element.hidden = !run.learned;
    }
    const live = run.state === "RUNNING" || run.state === "QUEUED";
    this.stopAsking.disabled = !live || run.askingStopped || !run.learned;
    setText(this.stopAsking, run.askingStopped ? "Asking stopped" : "Stop asking …");
    this.pause.disabled = !live;
    if (before?.run.state !== run.state) void this.listRuns();
  }

  private refreshSoon(): void {
    clearTimeout(this.refreshTimer);
    const wait = Math.max(0, this.refreshed + refreshMs - Date.now());
    this.refreshTimer = window.setTimeout(() => void this.refresh(), wait);
  }

  // Every panel asks on its own, so that one failure leaves the others.
  private async refresh(): Promise<void> {
    const { dashboard } = this;
    if (!dashboard) return;
    if (this.refreshing) {
      this.refreshSoon();
      return;
    }
    this.refreshing = true;
    this.refreshed = Date.now();
    const { client, renderer } = this.options;
    const { run } = dashboard;
    const view = new RunView(client, renderer, run, () => this.refreshSoon());
    const current = () => this.dashboard?.run.id === run.id;
    await Promise.all(
      this.panels.map(async (panel) => {
        if (panel.aboutPeople && !run.learned) return;
        try {
          const draw = await panel.load?.(view);
          if (current()) draw?.();
        } catch (failure) {
          if (current()) this.say(`The ${panel.loads} could not be loaded: ${sentence(failure)}`);
        }
      }),
    );
    this.refreshing = false;
  }

  private say(trouble: string): void {
    setText(this.trouble, trouble);
    this.trouble.hidden = trouble === "";
  }

  private toggleMotion(): void {
    this.options.renderer.setMotion(!this.options.renderer.motion);
    this.drawMotion();
  }

  private drawMotion(): void {
    setText(this.motion, this.options.renderer.motion ? "Pause all clips" : "Play all clips");
  }

  private confirmStop(): void {
    const run = this.dashboard?.run;
    if (!run) return;
    ask({
      title: `Stop asking for run ${run.id}?`,
      body: [
        h(
          "p",
          {},
          `People get no more questions. The run trains the steps that its ${run.labels} labels have earned and then finishes. “backflip train --continue” asks again.`,
        ),
      ],
      action: "Stop asking",
      danger: true,
      run: () => this.options.client.stopAsking(run.id),
    });
  }

  private confirmPause(): void {
    const run = this.dashboard?.run;
    if (!run) return;
    ask({
      title: `Pause run ${run.id}?`,
      body: [
        h(
          "p",
          {},
          "Training and questions stop at once; nothing is lost. “backflip train --continue” goes on.",
        ),
      ],
      action: "Pause run",
      danger: true,
      run: () => this.options.client.pauseRun(run.id),
    });
  }
}
