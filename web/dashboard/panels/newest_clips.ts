// The newest clips of the policy, playing; two of them may become a gold pair.
import { button, h, setText } from "../../common/dom";
import type { CanvasGroup } from "../../viewer/canvas_group";
import { makeGold } from "../gold_dialog";
import type { DrawnClip } from "../model";
import { type Panel, panelSection, type RunView } from "../panel";
import { playButton } from "../play_button";

const newestClips = 8;

export class NewestClips implements Panel {
  readonly link = "Clips";
  readonly loads = "newest clips";
  readonly element: HTMLElement;
  private readonly grid = h("div", { class: "clips grid" });
  private readonly buttons = h("div", { class: "section-buttons" });
  private readonly empty = h(
    "p",
    { class: "empty" },
    "No clips yet: they come with the first batch.",
  );
  private readonly picked: string[] = [];
  private readonly make = button("Make gold of two …", () => this.gold(), {
    class: "small",
    disabled: true,
  });
  private view?: RunView;
  private group?: CanvasGroup;
  // The run and iteration whose clips are here, and the clips.
  private loaded = "";
  private drawn = "";

  constructor() {
    this.element = panelSection(
      "clips",
      "Newest clips of the policy",
      this.buttons,
      this.empty,
      this.grid,
    );
  }

  async load(view: RunView) {
    const moment = `${view.run.id} ${view.run.iterations}`;
    if (moment === this.loaded) return undefined;
    const clips = await view.client.newestClips(view.run.id, newestClips);
    return () => {
      if (clips.length > 0) this.loaded = moment;
      this.draw(view, clips);
    };
  }

  private draw(view: RunView, clips: readonly DrawnClip[]): void {
    const key = JSON.stringify([view.run.id, clips.map((clip) => clip.clipId)]);
    if (key === this.drawn || this.picked.length > 0) return; // not while clips are chosen
    this.drawn = key;
    this.view = view;
    const group = view.renderer.group(view.fps, this.group?.player.playing);
    this.group?.close();
    this.group = group;
    this.empty.hidden = clips.length > 0;
    this.buttons.replaceChildren(
      ...(clips.length > 0 ? [playButton(group.player, "the newest clips"), this.make] : []),
    );
    this.grid.replaceChildren(...clips.map((clip, i) => this.cell(view, clip, i + 1)));
  }

  private cell(view: RunView, clip: DrawnClip, place: number): HTMLElement {
    const label = `Clip ${place} of iteration ${clip.iteration}, moving picture`;
    const canvas = this.group!.add(label, view.run.sceneHash, clip.poses);
    const choose = () => {
      const at = this.picked.indexOf(clip.clipId);
      if (at >= 0) this.picked.splice(at, 1);
      else this.picked.push(clip.clipId);
      pick.setAttribute("aria-pressed", at >= 0 ? "false" : "true");
      setText(pick, at >= 0 ? "Choose" : "Chosen");
      this.make.disabled = this.picked.length !== 2;
    };
    const pick = button("Choose", choose, {
      class: "small pick",
      "aria-pressed": "false",
      "aria-label": `Choose clip ${place} for a gold pair`,
    });
    return h(
      "figure",
      {},
      canvas,
      h("figcaption", {}, h("span", {}, `iteration ${clip.iteration}`), pick),
    );
  }

  private gold(): void {
    makeGold(this.view!, [...this.picked], undefined, () => {
      this.picked.length = 0;
      this.make.disabled = true;
      for (const pick of this.grid.querySelectorAll(".pick")) {
        pick.setAttribute("aria-pressed", "false");
        setText(pick, "Choose");
      }
    });
  }
}
