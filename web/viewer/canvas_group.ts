// Canvases of the page on one player: the clips of a pair, a grid, an episode.
import { h } from "../common/dom";
import { turnByDragging } from "./dragging";
import type { Player } from "./player";
import { type Orbit, type Poses, stepsOf } from "./scene";

// One moment of one clip, for a canvas of the page.
export interface Picture {
  canvas: HTMLCanvasElement;
  // The hash of its scene.
  scene: string;
  poses: Poses;
  moment: number;
  orbit: Orbit;
}

export class CanvasGroup {
  private readonly clips: { canvas: HTMLCanvasElement; scene: string; poses: Poses }[] = [];
  private drawn = "";
  private readonly inSight = new Set<Element>();
  private readonly observer = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) this.inSight.add(target);
      else this.inSight.delete(target);
    }
    this.redraw();
  });

  // `onClose`: the group is no longer drawn.
  constructor(
    readonly player: Player,
    private readonly onClose: (group: CanvasGroup) => void,
  ) {}

  // Makes a canvas that plays a clip. `label` is what a screen reader calls it.
  add(label: string, scene: string, poses: Poses): HTMLCanvasElement {
    const canvas = h("canvas", { class: "clip", role: "img", "aria-label": label });
    this.clips.push({ canvas, scene, poses });
    this.player.steps = Math.max(this.player.steps, stepsOf(poses));
    this.observer.observe(canvas);
    turnByDragging(canvas, this.player);
    return canvas;
  }

  close(): void {
    this.observer.disconnect();
    this.onClose(this);
  }

  redraw(): void {
    this.drawn = "";
  }

  // Lets seconds pass, and says what must be drawn again: nothing while it is out of
  // sight.
  frame(elapsed: number): Picture[] {
    if (!this.visible()) return [];
    this.player.tick(elapsed);
    const { step, orbit } = this.player;
    const sizes = this.clips.map(({ canvas }) => `${canvas.clientWidth}x${canvas.clientHeight}`);
    const key = [step, JSON.stringify(orbit), ...sizes].join();
    if (key === this.drawn) return [];
    this.drawn = key;
    return this.clips.flatMap(({ canvas, scene, poses }) =>
      poses.poses.length > 0 && this.inSight.has(canvas)
        ? [{ canvas, scene, poses, moment: Math.min(step, stepsOf(poses)), orbit }]
        : [],
    );
  }

  // In the window, and not behind a dialog.
  private visible(): boolean {
    if (this.inSight.size === 0) return false;
    const dialog = document.querySelector("dialog[open]");
    return !dialog || this.clips.some(({ canvas }) => dialog.contains(canvas));
  }
}
