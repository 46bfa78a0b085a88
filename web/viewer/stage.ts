// Draws the clips of a player into panels of the page: one canvas lies under all of
// them, and one context draws each clip into its part.
import { eachFrame } from "./frames";
import { PainterHost } from "./painter_host";
import type { Player } from "./player";
import { type Orbit, type Poses, type Scene, stepsOf } from "./scene";

export class Stage {
  // Called when the clips that were shown last have been drawn for the first time.
  onFirstPicture: () => void = () => {};
  private readonly host = new PainterHost(() => this.adoptCanvas());
  private canvas = this.host.canvas;
  private panels: HTMLElement[] = [];
  private scene?: Scene;
  private clips: readonly Poses[] = [];
  private drawn?: { moment: number; orbit: Orbit };
  private begun = false;
  // The size, or the canvas, has changed.
  private stale = true;
  private readonly observer = new ResizeObserver(() => this.invalidate());
  // A moving average of the seconds between two pictures.
  private pace = 0;
  // Lowered while drawing takes too long.
  private quality = 1;
  // Pictures that came in time, and how many of them it takes to draw finer.
  private calm = 0;
  private patience = 150;

  // The canvas fills `container`, below everything else in it.
  constructor(
    private readonly container: HTMLElement,
    private readonly player: Player,
  ) {
    this.adoptCanvas();
    this.observer.observe(container);
    eachFrame((elapsed) => this.frame(elapsed));
  }

  // One panel for each clip; they are inside the container.
  setPanels(panels: HTMLElement[]): void {
    for (const panel of this.panels) this.observer.unobserve(panel);
    this.panels = panels;
    for (const panel of panels) this.observer.observe(panel);
    this.invalidate();
  }

  // Plays other clips from their first pose.
  show(scene: Scene, clips: readonly Poses[], fps: number): void {
    this.scene = scene;
    this.clips = clips;
    this.drawn = undefined;
    this.begun = false;
    this.player.load(Math.max(...clips.map(stepsOf)), fps);
  }

  // Draws nothing, and lets no time pass, until clips are shown again.
  clear(): void {
    this.scene = undefined;
  }

  private adoptCanvas(): void {
    this.canvas.remove();
    this.canvas = this.host.canvas;
    this.canvas.className = "stage-canvas";
    this.canvas.setAttribute("aria-hidden", "true");
    this.container.prepend(this.canvas);
    this.invalidate();
  }

  private invalidate(): void {
    this.stale = true;
  }

  private frame(elapsed: number): void {
    const { player, scene } = this;
    if (!scene) return;
    // time passes from the first picture on
    if (this.begun && player.playing) {
      player.tick(elapsed);
      this.adapt(elapsed);
    }
    const { moment, orbit } = player;
    if (!this.stale && moment === this.drawn?.moment && orbit === this.drawn.orbit) return;
    this.draw(scene, moment, orbit);
    if (this.begun) return;
    this.begun = true;
    this.onFirstPicture();
  }

  private draw(scene: Scene, moment: number, orbit: Orbit): void {
    const outer = this.container.getBoundingClientRect();
    if (this.stale) {
      this.stale = false;
      this.host.resize(outer.width, outer.height, this.host.pixelRatio * this.quality);
    }
    const viewports = this.panels.map((panel) => {
      const { left, top, width, height } = panel.getBoundingClientRect();
      return { x: left - outer.left, y: top - outer.top, width, height };
    });
    this.host.paint({ scene, clips: this.clips, viewports, moment, orbit });
    this.drawn = { moment, orbit };
  }

  // Draws coarser rather than slowly, and finer again when there was time for long
  // enough.
  private adapt(elapsed: number): void {
    this.pace = 0.97 * this.pace + 0.03 * elapsed;
    if (this.pace > 1 / 36 && this.quality > 0.7) {
      this.quality *= 0.8;
      this.patience = Math.min(2 * this.patience, 100_000);
    } else if (this.quality < 1 && this.pace < 1 / 50 && ++this.calm > this.patience) {
      this.quality = Math.min(1, this.quality / 0.8);
    } else {
      return;
    }
    this.pace = 0;
    this.calm = 0;
    this.invalidate();
  }
}
