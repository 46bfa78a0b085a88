// The dashboard: one long poll says when the run has moved, then what depends
// on it is asked for again.
import { NewestClips } from "./panels/newest_clips";
import { ask } from "./dialog";
import { Disputed } from "./panels/disputed";
import { sentence } from "../common/api";
import { h, setText } from "../common/dom";
import { Episode } from "./panels/episode";
import { Gold, type Stage } from "./panels/gold";
import { Labelers } from "./panels/labelers";
import { Labels } from "./panels/labels";
import { Learning, Progress, wantedMetrics } from "./panels/learning";
import type { Client, Dashboard, Run } from "./model";
import { Overview } from "./panels/overview";
import type { Theatre } from "./player";
import { runStateWords } from "./words";

// Between two rounds of questions for details, however fast labels come.
const refreshMs = 2000;
const newestClips = 8;

const sections: [string, string][] = [
  ["learning", "Learning"],
  ["progress", "Progress"],
  ["clips", "Clips"],
  ["episode", "Episode"],
  ["labelers", "Labelers"],
  ["disputed", "Disputed"],
  ["gold", "Gold"],
  ["labels", "Labels"],
];

export interface AppOptions {
  client: Client;
  theatre: Theatre;
  operator: boolean;
  name: string;
  signOut: () => void;
}

export class App {
  private stopped = false;
  // Nobody looks: the poll rests.
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
  private seenIterations = -1;
  private seenVersion = -1;

  private readonly choice = h("select", {
    "aria-label": "Run",
    change: () => this.select(Number(this.choice.value)),
    focus: () => void this.listRuns(),
  });
  private readonly stopAsking = h(
    "button",
    { type: "button", click: () => this.confirmStop() },
    "Stop asking …",
  );
  private readonly pause = h(
    "button",
    { type: "button", click: () => this.confirmPause() },
    "Pause run …",
  );
  private readonly motion = h("button", { type: "button", click: () => this.toggleMotion() });
  private readonly trouble = h("p", { class: "trouble", hidden: true, role: "status" });
  private readonly none = h(
    "p",
    { class: "empty big", hidden: true },
    "There is no run yet. Start one with “backflip train --human”; it appears here by itself.",
  );
  private readonly overview = new Overview();
  private readonly learning = new Learning();
  private readonly progress = new Progress();
  private readonly clips = new NewestClips(() => this.refreshSoon());
  private readonly episode = new Episode();
  private readonly labelers: Labelers;
  private readonly disputed = new Disputed(() => this.refreshSoon());
  private readonly gold = new Gold(() => this.refreshSoon());
  private readonly labels = new Labels(() => this.refreshSoon());
  private readonly content: HTMLElement;
  // Sections about people, which a run on the true reward has not.
  private readonly aboutPeople: HTMLElement[];

  constructor(
    root: HTMLElement,
    private readonly options: AppOptions,
  ) {
    const { client } = options;
    this.labelers = new Labelers(client, () => this.refreshSoon());
    this.aboutPeople = [this.progress, this.labelers, this.disputed, this.gold, this.labels].map(
      (section) => section.element,
    );
    const nav = h(
      "nav",
      { "aria-label": "Sections" },
      ...sections.map(([id, text]) =>
        h(
          "a",
          {
            href: `#${id}`,
            click: (event) => {
              event.preventDefault();
              const section = document.getElementById(id);
              section?.scrollIntoView({ block: "start" });
              const head = section?.querySelector("h2");
              head?.setAttribute("tabindex", "-1");
              head?.focus({ preventScroll: true });
            },
          },
          text,
        ),
      ),
    );
    this.content = h(
      "div",
      {},
      nav,
      this.overview.element,
      this.learning.element,
      this.progress.element,
      this.clips.element,
      this.episode.element,
      this.labelers.element,
      this.disputed.element,
      this.gold.element,
      this.labels.element,
    );
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
          h(
            "button",
            { type: "button", title: `Signed in as ${options.name}`, click: options.signOut },
            "Sign out",
          ),
        ),
      ),
      h("main", {}, this.trouble, this.none, this.content),
    );
    document.addEventListener("visibilitychange", this.onVisibility);
  }

  // Asks nothing any more.
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
      texts.forEach(([, text], i) => setText(options[i]!, text));
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
    this.seenIterations = this.seenVersion = -1;
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
    this.overview.update(dashboard);
    this.progress.update(dashboard.progress);
    this.labelers.updateAgreement(dashboard.agreement);
    for (const element of this.aboutPeople) element.hidden = !run.learned;
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

  // Every part is asked for on its own, so that one failure leaves the others.
  private async refresh(): Promise<void> {
    const dashboard = this.dashboard;
    if (!dashboard) return;
    if (this.refreshing) return this.refreshSoon();
    this.refreshing = true;
    this.refreshed = Date.now();
    const { client, theatre } = this.options;
    const { run } = dashboard;
    const stage: Stage = {
      theatre,
      client,
      runId: run.id,
      scene: { hash: run.sceneHash, fps: run.playbackFps || 30 },
    };
    const still = () => this.dashboard?.run.id === run.id;
    const part = async (what: string, work: () => Promise<void>) => {
      try {
        await work();
      } catch (failure) {
        if (still()) this.say(`The ${what} could not be loaded: ${sentence(failure)}`);
      }
    };
    const parts = [
      part("curves", async () => {
        const [points, evaluations] = await Promise.all([
          client.listMetrics(run.id, wantedMetrics(run)),
          client.listEvaluations(run.id),
        ]);
        if (!still()) return;
        this.learning.update(run, points, evaluations);
        const newest = evaluations.reduce((most, e) => Math.max(most, e.policyVersion), 0);
        if (newest !== this.seenVersion && (await this.episode.update(stage, newest > 0))) {
          this.seenVersion = newest;
        }
      }),
    ];
    if (run.iterations !== this.seenIterations) {
      parts.push(
        part("newest clips", async () => {
          const clips = await client.newestClips(run.id, newestClips);
          if (!still()) return;
          if (clips.length > 0) this.seenIterations = run.iterations;
          this.clips.update(stage, clips);
        }),
      );
    }
    if (run.learned) {
      parts.push(
        part("labelers", async () => {
          const labelers = await client.listLabelers(run.id);
          if (!still()) return;
          this.labelers.update(labelers);
          this.labels.update(stage, labelers.map((labeler) => labeler.name).sort());
        }),
        part("disputed pairs", async () => {
          const questions = await client.listDisagreements(run.id);
          if (still()) this.disputed.update(stage, questions);
        }),
        part("gold pairs", async () => {
          const pairs = await client.listGold(run.id);
          if (still()) this.gold.update(stage, pairs);
        }),
      );
    }
    await Promise.all(parts);
    this.refreshing = false;
  }

  private say(trouble: string): void {
    setText(this.trouble, trouble);
    this.trouble.hidden = trouble === "";
  }

  private toggleMotion(): void {
    this.options.theatre.setMotion(!this.options.theatre.motion);
    this.drawMotion();
  }

  private drawMotion(): void {
    setText(this.motion, this.options.theatre.motion ? "Pause all clips" : "Play all clips");
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
