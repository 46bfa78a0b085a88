// Draws clips into many canvases of the page, all with one WebGL context: a browser
// gives a page only a few. The pictures of a frame are drawn beside each other in one
// buffer and copied out of it; a copy from a buffer that has been drawn into again
// would wait for the graphics processor. Only canvases in sight move.
import { CanvasGroup, type Picture } from "./canvas_group";
import { eachFrame } from "./frames";
import { PainterHost } from "./painter_host";
import { Player } from "./player";
import { type Scene, SceneCache } from "./scene";

// The greatest width of the buffer, pixels.
const bufferWidth = 2048;
// After this long a scene that could not be fetched is asked for again.
const retryMs = 5000;

export class CanvasRenderer {
  // Whether new clips play: not at first for people who asked their system for less
  // motion.
  motion = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  private readonly groups = new Set<CanvasGroup>();
  private readonly scenes: SceneCache;
  private readonly ready = new Map<string, Scene | "fetching">();
  private readonly host = new PainterHost(() => {
    this.width = this.height = 0;
    this.redraw();
  });
  // The size of the buffer, pixels.
  private width = 0;
  private height = 0;

  constructor(fetchScene: (hash: string) => Promise<ArrayBuffer>) {
    this.scenes = new SceneCache(fetchScene);
    eachFrame((elapsed) => this.paint([...this.groups].flatMap((group) => group.frame(elapsed))));
    addEventListener("resize", () => this.redraw());
  }

  // Clips that are played together. Close it when they leave the page.
  group(fps: number, playing = this.motion): CanvasGroup {
    const group = new CanvasGroup(new Player(fps, playing), (closed) => this.groups.delete(closed));
    this.groups.add(group);
    return group;
  }

  setMotion(motion: boolean): void {
    this.motion = motion;
    for (const { player } of this.groups) player.playing = motion;
  }

  private redraw(): void {
    for (const group of this.groups) group.redraw();
  }

  private paint(pictures: readonly Picture[]): void {
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
    // rows of pictures
    let x = 0;
    let y = 0;
    let row = 0;
    let widest = 0;
    const places = pictures.map((picture) => {
      const { width, height } = this.fit(picture.canvas);
      if (x > 0 && x + width > bufferWidth) {
        y += row;
        x = row = 0;
      }
      const viewport = { x, y, width, height };
      x += width;
      row = Math.max(row, height);
      widest = Math.max(widest, x);
      return { picture, viewport };
    });
    if (this.width < widest || this.height < y + row) {
      this.width = Math.max(this.width, widest);
      this.height = Math.max(this.height, y + row);
      this.host.resize(this.width, this.height, 1);
    }
    for (const { picture, viewport } of places) {
      const { poses, moment, orbit } = picture;
      this.host.paint({ scene, clips: [poses], viewports: [viewport], moment, orbit });
    }
    for (const { picture, viewport } of places) {
      const { x, y, width, height } = viewport;
      const context = picture.canvas.getContext("2d")!;
      context.drawImage(this.host.canvas, x, y, width, height, 0, 0, width, height);
    }
  }

  // Gives the canvas as many pixels as it shows.
  private fit(canvas: HTMLCanvasElement): { width: number; height: number } {
    const ratio = this.host.pixelRatio;
    const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    const height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    return { width, height };
  }

  // Undefined: not here yet.
  private scene(hash: string): Scene | undefined {
    const known = this.ready.get(hash);
    if (known) return known === "fetching" ? undefined : known;
    this.ready.set(hash, "fetching");
    this.scenes.get(hash).then(
      (scene) => {
        this.ready.set(hash, scene);
        this.redraw();
      },
      () =>
        setTimeout(() => {
          this.ready.delete(hash);
          this.redraw();
        }, retryMs),
    );
    return undefined;
  }
}
