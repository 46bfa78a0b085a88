// Moving pictures on the page: every clip is a small canvas, all of them are
// drawn by one painter (one WebGL context), and only those in sight move.
import { h, setText } from "../common/dom";
import type { Orbit } from "../viewer/scene";
import type { Poses } from "./model";

// One moment of one scene, for a canvas of the page.
export interface Picture {
  canvas: HTMLCanvasElement;
  scene: string;
  poses: Poses;
  moment: number;
  orbit: Orbit;
}

export interface Painter {
  // All pictures that changed since the last frame.
  paint(pictures: readonly Picture[]): void;
  // The scene is here, or something else has changed: draw again.
  onChange: () => void;
}

// The last pose stays a little, so that the eye sees where a clip ends.
const holdSeconds = 0.2;

interface View {
  canvas: HTMLCanvasElement;
  poses?: Poses;
  scene: string;
  moments: number;
}

// Canvases on one clock and with one camera: the clips of a pair, a grid, an
// episode.
export class Player {
  private readonly views: View[] = [];
  private readonly orbit: Orbit = { azimuth: 0, elevation: 0, zoom: 1 };
  private seconds = 0;
  private drawn = "";
  private inSight = new Set<Element>();
  private readonly observer: IntersectionObserver;
  playing: boolean;
  speed = 1;
  // Called when the moment or `playing` has changed.
  onMove: () => void = () => {};

  constructor(
    private readonly theatre: Theatre,
    private fps = 30,
    private readonly loops = true,
  ) {
    this.playing = theatre.motion;
    this.observer = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting) this.inSight.add(entry.target);
        else this.inSight.delete(entry.target);
      }
      this.drawn = "";
    });
    theatre.add(this);
  }

  // Adds a canvas. `label` is what a screen reader calls it.
  view(label: string): {
    element: HTMLCanvasElement;
    set(scene: string, poses: Poses): void;
    remove(): void;
  } {
    const canvas = h("canvas", { class: "clip", role: "img", "aria-label": label });
    const view: View = { canvas, scene: "", moments: 0 };
    this.views.push(view);
    this.observer.observe(canvas);
    this.turnByDragging(canvas);
    return {
      element: canvas,
      set: (scene, poses) => {
        view.scene = scene;
        view.poses = poses;
        view.moments = poses.bodies > 0 ? poses.poses.length / (7 * poses.bodies) : 0;
        this.drawn = "";
      },
      remove: () => {
        this.observer.unobserve(canvas);
        this.views.splice(this.views.indexOf(view), 1);
        canvas.remove();
      },
    };
  }

  close(): void {
    this.observer.disconnect();
    this.theatre.remove(this);
  }

  setFps(fps: number): void {
    if (fps > 0) this.fps = fps;
  }

  get moments(): number {
    return this.views.reduce((most, view) => Math.max(most, view.moments), 0);
  }

  get moment(): number {
    return Math.min(Math.floor(this.seconds * this.fps), Math.max(0, this.moments - 1));
  }

  seek(moment: number): void {
    this.seconds = (Math.max(0, Math.min(moment, this.moments - 1)) + 0.5) / this.fps;
    this.onMove();
  }

  setPlaying(playing: boolean): void {
    this.playing = playing;
    if (playing && !this.loops && this.moment >= this.moments - 1) this.seconds = 0;
    this.onMove();
  }

  // Of the theatre: time has passed.
  tick(elapsed: number): void {
    if (this.playing && this.moments > 0 && this.visible()) {
      const before = this.moment;
      this.seconds += elapsed * this.speed;
      const length = this.moments / this.fps;
      if (this.loops) {
        if (this.seconds > length + holdSeconds) this.seconds = 0;
      } else if (this.seconds >= length) {
        this.seconds = length;
        this.playing = false;
      }
      if (this.moment !== before || !this.playing) this.onMove();
    }
  }

  // The pictures that are out of date.
  pictures(): Picture[] {
    if (!this.visible()) return [];
    const moment = this.moment;
    const sizes = this.views.map(({ canvas }) => `${canvas.clientWidth}x${canvas.clientHeight}`);
    const key = [moment, JSON.stringify(this.orbit), ...sizes].join();
    if (key === this.drawn) return [];
    this.drawn = key;
    return this.views.flatMap(({ canvas, scene, poses, moments }) =>
      poses && moments > 0 && this.inSight.has(canvas)
        ? [{ canvas, scene, poses, moment: Math.min(moment, moments - 1), orbit: this.orbit }]
        : [],
    );
  }

  redraw(): void {
    this.drawn = "";
  }

  // In the window, and not behind a dialog.
  private visible(): boolean {
    if (this.inSight.size === 0) return false;
    const dialog = document.querySelector("dialog[open]");
    return !dialog || this.views.some(({ canvas }) => dialog.contains(canvas));
  }

  private turnByDragging(canvas: HTMLCanvasElement): void {
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button === 0) canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!canvas.hasPointerCapture(event.pointerId)) return;
      this.orbit.azimuth -= event.movementX * 0.5;
      this.orbit.elevation = Math.max(
        -60,
        Math.min(60, this.orbit.elevation - event.movementY * 0.5),
      );
    });
    canvas.addEventListener("dblclick", () => {
      Object.assign(this.orbit, { azimuth: 0, elevation: 0, zoom: 1 });
    });
  }
}

// Runs all players of the page from one animation frame.
export class Theatre {
  private readonly players = new Set<Player>();
  private last = 0;
  // Whether new pictures move by themselves: not at first for who asked the
  // system for less motion.
  motion = !matchMedia("(prefers-reduced-motion: reduce)").matches;

  constructor(readonly painter: Painter) {
    painter.onChange = () => {
      for (const player of this.players) player.redraw();
    };
    const frame = (now: number) => {
      const elapsed = Math.min(0.1, (now - this.last) / 1000);
      this.last = now;
      for (const player of this.players) player.tick(elapsed);
      const pictures = [...this.players].flatMap((player) => player.pictures());
      if (pictures.length > 0) painter.paint(pictures);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    addEventListener("resize", () => painter.onChange());
  }

  add(player: Player): void {
    this.players.add(player);
  }

  remove(player: Player): void {
    this.players.delete(player);
  }

  setMotion(motion: boolean): void {
    this.motion = motion;
    for (const player of this.players) player.setPlaying(motion);
  }
}

// A button that plays and pauses a player.
export function playButton(player: Player, what: string): HTMLButtonElement {
  const button = h("button", {
    type: "button",
    class: "small",
    click: () => player.setPlaying(!player.playing),
  });
  const update = () => {
    setText(button, player.playing ? "Pause" : "Play");
    button.setAttribute("aria-label", `${player.playing ? "Pause" : "Play"} ${what}`);
  };
  const before = player.onMove;
  player.onMove = () => {
    before();
    update();
  };
  update();
  return button;
}
