// Chooses how clips are drawn: with WebGL, or as outlines where there is none or
// where its context was lost for good. Chooses again when the page's colours change.
import { OutlinePainter } from "./outline_painter";
import type { Drawing, Painter } from "./painter";
import type { Scene } from "./scene";
import { WebGlPainter } from "./webgl_painter";

// How long a lost context may take to come back before outlines are drawn.
const restoreMs = 4_000;

// Whether a program draws instead of a graphics processor. Undefined: no WebGL.
function drawnBySoftware(): boolean | undefined {
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

export class PainterHost {
  private readonly software = drawnBySoftware();
  private painter: Painter;
  private scene?: Scene;

  // `onStale`: everything must be drawn again, perhaps on another canvas, whose
  // size must be set.
  constructor(private readonly onStale: () => void) {
    this.painter = this.choose();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
      this.replace(this.choose()),
    );
  }

  get canvas(): HTMLCanvasElement {
    return this.painter.canvas;
  }

  // Pixels drawn for a CSS pixel: a program draws no more than it must.
  get pixelRatio(): number {
    return this.software === false ? Math.min(2, devicePixelRatio) : Math.min(1, devicePixelRatio);
  }

  resize(width: number, height: number, ratio: number): void {
    this.painter.resize(width, height, ratio);
  }

  paint(drawing: Drawing): void {
    if (drawing.scene !== this.scene) this.painter.setScene(drawing.scene);
    this.scene = drawing.scene;
    this.painter.paint(drawing);
  }

  private choose(): Painter {
    if (this.software === undefined) return new OutlinePainter();
    try {
      const painter = new WebGlPainter(this.software);
      this.watch(painter);
      return painter;
    } catch {
      return new OutlinePainter();
    }
  }

  private watch(painter: Painter): void {
    let timer = 0;
    painter.canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      timer = window.setTimeout(() => {
        if (painter === this.painter) this.replace(new OutlinePainter());
      }, restoreMs);
    });
    painter.canvas.addEventListener("webglcontextrestored", () => {
      clearTimeout(timer);
      this.onStale();
    });
  }

  private replace(painter: Painter): void {
    const old = this.painter;
    this.painter = painter;
    this.scene = undefined;
    this.onStale();
    old.dispose();
  }
}
