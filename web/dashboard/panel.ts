// A part of the dashboard, about one thing. To add one: a file in panels/ and a line in
// app.ts; and where it shows what nothing else does, that in model.ts and client.ts.
import { type Child, h } from "../common/dom";
import type { CanvasRenderer } from "../viewer/canvas_renderer";
import type { BrokerClient } from "./client";
import { KeyedList, type Row } from "./keyed_list";
import type { Dashboard, Evaluation, Labeler, Run } from "./model";

export interface Panel {
  // A section, whose id the navigation goes to.
  readonly element: HTMLElement;
  // What the navigation calls it; without: not named there.
  readonly link?: string;
  // Hidden in runs that do not learn from people.
  readonly aboutPeople?: boolean;
  // What load() fetches, in words: "newest clips".
  readonly loads?: string;
  // Draws what came with the run. Called each time that the run has moved.
  show?(dashboard: Dashboard): void;
  // Fetches more, and resolves with what draws it; undefined: nothing has changed.
  // Called some time after the run has moved. May fail with a sentence.
  load?(view: RunView): Promise<(() => void) | undefined>;
}

// A run as it is looked at once. What several panels need is asked for once.
export class RunView {
  private readonly asked = new Map<string, Promise<unknown>>();

  constructor(
    readonly client: BrokerClient,
    readonly renderer: CanvasRenderer,
    readonly run: Run,
    // A person has changed something of the run here: looks at it again soon.
    readonly changed: () => void,
  ) {}

  get fps(): number {
    return this.run.playbackFps || 30;
  }

  evaluations(): Promise<Evaluation[]> {
    return this.once("evaluations", () => this.client.listEvaluations(this.run.id));
  }

  labelers(): Promise<Labeler[]> {
    return this.once("labelers", () => this.client.listLabelers(this.run.id));
  }

  private once<T>(name: string, ask: () => Promise<T>): Promise<T> {
    const asked = (this.asked.get(name) as Promise<T> | undefined) ?? ask();
    this.asked.set(name, asked);
    return asked;
  }
}

// The section of a panel: its title, what is beside the title, and the content.
export function panelSection(
  id: string,
  title: string,
  beside: Child,
  ...content: Child[]
): HTMLElement {
  return h(
    "section",
    { id, "aria-labelledby": `${id}-title` },
    h("div", { class: "section-head" }, h("h2", { id: `${id}-title` }, title), beside),
    ...content,
  );
}

// The items of a run, each in a row or on a card, or words where there are none.
export class RunList<T> {
  readonly empty: HTMLElement;
  private list?: KeyedList<T>;
  private runId = 0;

  constructor(
    private readonly body: HTMLElement,
    words: string,
    private readonly key: (item: T) => number,
    private readonly make: (view: RunView, item: T) => Row<T>,
  ) {
    this.empty = h("p", { class: "empty" }, words);
  }

  set(view: RunView, items: readonly T[]): void {
    if (!this.list || view.run.id !== this.runId) {
      this.list?.set([]);
      this.runId = view.run.id;
      this.list = new KeyedList(
        this.body,
        (item) => String(this.key(item)),
        (item) => this.make(view, item),
      );
    }
    this.empty.hidden = items.length > 0;
    this.list.set(items);
  }
}
