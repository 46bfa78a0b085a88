// Draws moments of clips into canvases of the page, all with one WebGL context:
// a browser gives a page only a few. The pictures of a frame are drawn beside
// each other in one buffer and copied out of it; a copy from a buffer that has
// been drawn into again would wait for the graphics processor.
import { Scenes, type Scene } from "./scene";
import { OutlinePainter } from "./outline_painter";
import type { Painter as Drawer } from "./painter";
import { drawnBySoftware, restoreMs } from "./stage";
import { WebGlPainter } from "./webgl_painter";
import type { Painter, Picture } from "../dashboard/player";

// Of the buffer, pixels.
const bufferWidth = 2048;
// Until a scene that could not be fetched is asked for again.
const retryMs = 5000;

export class CanvasRenderer implements Painter {
  onChange = () => {};
  private readonly scenes: Scenes;
  private readonly ready = new Map<string, Scene | "fetching">();
  private readonly software = drawnBySoftware();
  private drawer: Drawer;
  private staged?: Scene;
  private width = 0;
  private height = 0;

  constructor(fetchScene: (hash: string) => Promise<ArrayBuffer>) {
    this.scenes = new Scenes(fetchScene);
    this.drawer = this.makeDrawer();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      const old = this.drawer;
      this.replace(this.makeDrawer());
      old.dispose();
    });
  }

  paint(pictures: readonly Picture[]): void {
    const byScene = new Map<Scene, Picture[]>();
    for (const picture of pictures) {
      const scene = this.scene(picture.scene);
      if (!scene) continue;
      const others = byScene.get(scene);
      if (others) others.push(picture);
      else byScene.set(scene, [picture]);
    }
    for (const [scene, its] of byScene) this.paintScene(scene, its);
  }

  private paintScene(scene: Scene, pictures: readonly Picture[]): void {
    if (scene !== this.staged) this.drawer.setScene(scene);
    this.staged = scene;
    // rows of pictures
    let x = 0;
    let y = 0;
    let row = 0;
    let widest = 0;
    const panels = pictures.map(({ canvas }) => {
      const { width, height } = this.fit(canvas);
      if (x > 0 && x + width > bufferWidth) {
        y += row;
        x = row = 0;
      }
      const panel = { x, y, width, height };
      x += width;
      row = Math.max(row, height);
      widest = Math.max(widest, x);
      return panel;
    });
    if (this.width < widest || this.height < y + row) {
      this.width = Math.max(this.width, widest);
      this.height = Math.max(this.height, y + row);
      this.drawer.resize(this.width, this.height, 1);
    }
    pictures.forEach(({ poses, moment, orbit }, i) => {
      const steps = poses.poses.length / (7 * poses.bodies) - 1;
      this.drawer.paint(scene, [{ steps, ...poses }], [panels[i]!], moment, orbit);
    });
    pictures.forEach(({ canvas }, i) => {
      const { x, y, width, height } = panels[i]!;
      canvas
        .getContext("2d")!
        .drawImage(this.drawer.canvas, x, y, width, height, 0, 0, width, height);
    });
  }

  // Gives the canvas as many pixels as it shows.
  private fit(canvas: HTMLCanvasElement): { width: number; height: number } {
    const ratio = this.software === false ? Math.min(2, devicePixelRatio) : 1;
    const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    const height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    return { width, height };
  }

  private scene(hash: string): Scene | undefined {
    const known = this.ready.get(hash);
    if (known) return known === "fetching" ? undefined : known;
    this.ready.set(hash, "fetching");
    this.scenes.get(hash).then(
      (scene) => {
        this.ready.set(hash, scene);
        this.onChange();
      },
      () =>
        setTimeout(() => {
          this.ready.delete(hash);
          this.onChange();
        }, retryMs),
    );
    return undefined;
  }

  private makeDrawer(): Drawer {
    let drawer: Drawer;
    try {
      if (this.software === undefined) throw new Error("no WebGL");
      drawer = new WebGlPainter(this.software);
    } catch {
      return new OutlinePainter();
    }
    let timer = 0;
    drawer.canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      timer = window.setTimeout(() => {
        if (this.drawer === drawer) this.replace(new OutlinePainter());
      }, restoreMs);
    });
    drawer.canvas.addEventListener("webglcontextrestored", () => {
      clearTimeout(timer);
      this.onChange();
    });
    return drawer;
  }

  private replace(drawer: Drawer): void {
    this.drawer = drawer;
    this.staged = undefined;
    this.width = this.height = 0;
    this.onChange();
  }
}
