// Two or more clips side by side on one clock, from their ids.
import { sentence } from "../common/api";
import { h, setText } from "../common/dom";
import type { Client, DrawnClip } from "./model";
import { playButton, Player, type Theatre } from "./player";

export interface Scene {
  hash: string;
  fps: number;
}

const sides = ["Left", "Right"];

export class PairView {
  readonly element: HTMLElement;
  readonly player: Player;
  private asked = false;
  private readonly note = h("p", { class: "empty", role: "status" }, "Loading the clips …");

  constructor(
    theatre: Theatre,
    private readonly client: Client,
    private readonly runId: number,
    private readonly scene: Scene,
    private readonly clipIds: readonly string[],
  ) {
    this.player = new Player(theatre, scene.fps);
    this.element = h("div", { class: "pair" }, this.note);
  }

  // Fetches and shows the clips once the view comes near the window.
  loadInSight(): this {
    const observer = new IntersectionObserver(
      (entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        observer.disconnect();
        void this.load();
      },
      { rootMargin: "300px" },
    );
    observer.observe(this.element);
    return this;
  }

  async load(): Promise<void> {
    if (this.asked) return;
    this.asked = true;
    try {
      this.place(await this.client.clips(this.runId, [...this.clipIds]));
    } catch (failure) {
      this.asked = false;
      const retry = h(
        "button",
        { type: "button", class: "small", click: () => void this.load() },
        "Try again",
      );
      setText(this.note, `The clips could not be loaded: ${sentence(failure)} `);
      this.note.append(retry);
    }
  }

  close(): void {
    this.player.close();
  }

  private place(clips: DrawnClip[]): void {
    const pair = this.clipIds.length === 2;
    const figures = this.clipIds.map((id, position) => {
      const clip = clips.find((candidate) => candidate.clipId === id);
      const name = pair ? sides[position]! : `Clip ${position + 1}`;
      const caption = h(
        "figcaption",
        {},
        name,
        clip ? h("small", {}, ` iteration ${clip.iteration}`) : null,
      );
      if (!clip)
        return h(
          "figure",
          {},
          h("p", { class: "empty" }, "This clip is no longer stored."),
          caption,
        );
      const view = this.player.view(`${name} clip, moving picture`);
      view.set(this.scene.hash, clip.poses);
      return h("figure", {}, view.element, caption);
    });
    this.element.replaceChildren(
      h("div", { class: pair ? "clips two" : "clips many" }, ...figures),
      h("div", { class: "pair-buttons" }, playButton(this.player, "these clips")),
    );
  }
}
