// Draws clips into panels of the page: one canvas lies under all of them, and
// one context draws each into its part. Without WebGL the outlines of the bodies
// are drawn on a plain canvas.
import { OutlinePainter } from "./outline_painter";
import type { Painter } from "./painter";
import type { Clip, Orbit, Scene } from "./scene";
import { WebGlPainter } from "./webgl_painter";

// Whether a program draws instead of a graphics processor. Undefined: no WebGL.
export function drawnBySoftware(): boolean | undefined {
  const context = document
    .createElement("canvas")
    .getContext("webgl2", { failIfMajorPerformanceCaveat: false });
  if (!context) return undefined;
  const extension = context.getExtension("WEBGL_debug_renderer_info");
  const name = String(
    context.getParameter(extension ? extension.UNMASKED_RENDERER_WEBGL : context.RENDERER),
  );
  context.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|software/i.test(name);
}

// How long a lost context may take to come back before outlines are drawn.
export const restoreMs = 4_000;

export class Stage {
  // Called when what was drawn is out of date: other clips, a new size, colours
  // or context.
  onStale: () => void = () => {};
  // Pictures drawn, for measurements.
  pictures = 0;
  private painter: Painter;
  private panels: HTMLElement[] = [];
  private scene?: Scene;
  private clips: readonly Clip[] = [];
  private readonly software: boolean | undefined;
  // Lowered while drawing takes too long.
  private quality = 1;
  // Pictures that came in time, and how many of them it takes to draw finer.
  private calm = 0;
  private patience = 150;
  private stale = true;
  private readonly observer = new ResizeObserver(() => this.invalidate());

  // The canvas fills `container`, below everything else in it.
  constructor(private readonly container: HTMLElement) {
    this.software = drawnBySoftware();
    this.painter = this.makePainter();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
      this.replacePainter(),
    );
    this.observer.observe(container);
  }

  get flat(): boolean {
    return this.painter instanceof OutlinePainter;
  }

  private makePainter(): Painter {
    let painter: Painter;
    try {
      if (this.software === undefined) throw new Error("no WebGL");
      painter = new WebGlPainter(this.software);
    } catch {
      painter = new OutlinePainter();
    }
    this.adopt(painter);
    return painter;
  }

  private adopt(painter: Painter): void {
    const { canvas } = painter;
    canvas.className = "stage-canvas";
    canvas.setAttribute("aria-hidden", "true");
    let timer = 0;
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      if (canvas !== this.painter.canvas) return; // replaced
      timer = window.setTimeout(() => {
        this.painter.canvas.remove();
        this.painter = new OutlinePainter();
        this.adopt(this.painter);
        if (this.scene) this.painter.setScene(this.scene);
        this.invalidate();
      }, restoreMs);
    });
    canvas.addEventListener("webglcontextrestored", () => {
      clearTimeout(timer);
      this.invalidate();
    });
    this.container.prepend(canvas);
  }

  private replacePainter(): void {
    const old = this.painter;
    old.canvas.remove();
    this.painter = this.makePainter();
    old.dispose();
    if (this.scene) this.painter.setScene(this.scene);
    this.invalidate();
  }

  invalidate(): void {
    this.stale = true;
    this.onStale();
  }

  // One panel for each clip; they are inside the container.
  setPanels(panels: HTMLElement[]): void {
    for (const panel of this.panels) this.observer.unobserve(panel);
    this.panels = panels;
    for (const panel of panels) this.observer.observe(panel);
    this.invalidate();
  }

  show(scene: Scene, clips: readonly Clip[]): void {
    if (scene !== this.scene) this.painter.setScene(scene);
    this.scene = scene;
    this.clips = clips;
    this.onStale();
  }

  draw(moment: number, orbit: Orbit): void {
    if (!this.scene) return;
    const outer = this.container.getBoundingClientRect();
    if (this.stale) {
      this.stale = false;
      const most = this.software === false ? 2 : 1;
      this.painter.resize(
        outer.width,
        outer.height,
        Math.min(most, devicePixelRatio) * this.quality,
      );
    }
    const panels = this.panels.map((panel) => {
      const rect = panel.getBoundingClientRect();
      return {
        x: rect.left - outer.left,
        y: rect.top - outer.top,
        width: rect.width,
        height: rect.height,
      };
    });
    this.painter.paint(this.scene, this.clips, panels, moment, orbit);
    ++this.pictures;
  }

  // Seconds between pictures lately: drawing gets coarser rather than slow, and
  // fine again when there was time for long enough. Whether it has changed.
  adapt(seconds: number): boolean {
    if (seconds > 1 / 36 && this.quality > 0.7) {
      this.quality *= 0.8;
      this.patience = Math.min(2 * this.patience, 100_000);
    } else if (this.quality < 1 && seconds > 0 && seconds < 1 / 50 && ++this.calm > this.patience) {
      this.quality = Math.min(1, this.quality / 0.8);
    } else {
      return false;
    }
    this.calm = 0;
    this.stale = true;
    return true;
  }
}
