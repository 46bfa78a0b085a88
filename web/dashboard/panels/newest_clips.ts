// The newest clips of the policy, playing; two of them may become a gold pair.
import { h, setText } from "../../common/dom";
import { makeGold, type Stage } from "./gold";
import type { DrawnClip } from "../model";
import { playButton, Player } from "../player";

export class NewestClips {
  readonly element: HTMLElement;
  private readonly grid = h("div", { class: "clips grid" });
  private readonly buttons = h("div", { class: "section-buttons" });
  private readonly empty = h(
    "p",
    { class: "empty" },
    "No clips yet: they come with the first batch.",
  );
  private readonly picked: string[] = [];
  private readonly make = h(
    "button",
    { type: "button", class: "small", disabled: true, click: () => this.gold() },
    "Make gold of two …",
  );
  private stage?: Stage;
  private player?: Player;
  private drawn = "";

  constructor(private readonly goldAdded: () => void) {
    this.element = h(
      "section",
      { id: "clips", "aria-labelledby": "clips-title" },
      h(
        "div",
        { class: "section-head" },
        h("h2", { id: "clips-title" }, "Newest clips of the policy"),
        this.buttons,
      ),
      this.empty,
      this.grid,
    );
  }

  update(stage: Stage, clips: readonly DrawnClip[]): void {
    const key = JSON.stringify([stage.runId, clips.map((clip) => clip.clipId)]);
    if (key === this.drawn || this.picked.length > 0) return; // not under who is choosing
    this.drawn = key;
    this.stage = stage;
    const moved = this.player ? this.player.playing : stage.theatre.motion;
    this.player?.close();
    this.player = new Player(stage.theatre, stage.scene.fps);
    this.player.playing = moved;
    this.empty.hidden = clips.length > 0;
    this.buttons.replaceChildren(
      ...(clips.length > 0 ? [playButton(this.player, "the newest clips"), this.make] : []),
    );
    this.grid.replaceChildren(...clips.map((clip, i) => this.cell(stage, clip, i + 1)));
  }

  private cell(stage: Stage, clip: DrawnClip, place: number): HTMLElement {
    const view = this.player!.view(`Clip ${place} of iteration ${clip.iteration}, moving picture`);
    view.set(stage.scene.hash, clip.poses);
    const pick = h(
      "button",
      {
        type: "button",
        class: "small pick",
        "aria-pressed": "false",
        "aria-label": `Choose clip ${place} for a gold pair`,
        click: () => {
          const at = this.picked.indexOf(clip.clipId);
          if (at >= 0) this.picked.splice(at, 1);
          else this.picked.push(clip.clipId);
          pick.setAttribute("aria-pressed", at >= 0 ? "false" : "true");
          setText(pick, at >= 0 ? "Choose" : "Chosen");
          this.make.disabled = this.picked.length !== 2;
        },
      },
      "Choose",
    );
    return h(
      "figure",
      {},
      view.element,
      h("figcaption", {}, h("span", {}, `iteration ${clip.iteration}`), pick),
    );
  }

  private gold(): void {
    const stage = this.stage!;
    makeGold(stage, [...this.picked], undefined, () => {
      this.picked.length = 0;
      this.make.disabled = true;
      for (const pick of this.grid.querySelectorAll(".pick")) {
        pick.setAttribute("aria-pressed", "false");
        setText(pick, "Choose");
      }
      this.goldAdded();
    });
  }
}
