// The clips of a question side by side, from their ids.
import { button, h, setText } from "../common/dom";
import { sentence } from "../common/failures";
import type { CanvasGroup } from "../viewer/canvas_group";
import type { DrawnClip } from "./model";
import type { RunView } from "./panel";
import { playButton } from "./play_button";

const sides = ["Left", "Right"];

export class PairView {
  readonly element: HTMLElement;
  private readonly group: CanvasGroup;
  private asked = false;
  private readonly note = h("p", { class: "empty", role: "status" }, "Loading the clips …");

  constructor(
    private readonly view: RunView,
    private readonly clipIds: readonly string[],
  ) {
    this.group = view.renderer.group(view.fps);
    this.element = h("div", { class: "pair" }, this.note);
  }

  // Fetches and shows the clips once they come near the window.
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
      this.place(await this.view.client.clips(this.view.run.id, [...this.clipIds]));
    } catch (failure) {
      this.asked = false;
      const retry = button("Try again", () => void this.load(), { class: "small" });
      setText(this.note, `The clips could not be loaded: ${sentence(failure)} `);
      this.note.append(retry);
    }
  }

  close(): void {
    this.group.close();
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
      const { sceneHash } = this.view.run;
      const canvas = this.group.add(`${name} clip, moving picture`, sceneHash, clip.poses);
      return h("figure", {}, canvas, caption);
    });
    this.element.replaceChildren(
      h("div", { class: pair ? "clips two" : "clips many" }, ...figures),
      h("div", { class: "pair-buttons" }, playButton(this.group.player, "these clips")),
    );
  }
}
