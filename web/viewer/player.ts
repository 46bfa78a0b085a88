// Plays the clips of one stage on one clock, with one camera.
import type { Clip, Orbit, Scene } from "./scene";
import type { Stage } from "./stage";

// The last pose stays a little, so that the eye sees where a clip ends.
const holdSeconds = 0.2;
export const speeds = [0.25, 0.5, 0.75, 1, 1.5, 2];
const speedKey = "backflip.speed";

export class Player {
  // Something that controls show has changed.
  onChange: () => void = () => {};
  // The clips moved for the first time.
  onFirstMove: () => void = () => {};
  onPlayedOnce: () => void = () => {};
  playing = true;
  loops = 0;
  playedOnce = false;
  readonly orbit: Orbit = { azimuth: 0, elevation: 0, zoom: 1 };
  private speedAt = speeds.indexOf(1);
  private seconds = 0;
  private length = 0;
  private fps = 30;
  private loaded = false;
  private moved = false;
  private drawn = NaN;
  private last = 0;
  private slow = 0;

  constructor(private readonly stage: Stage) {
    const kept = speeds.indexOf(Number(localStorage.getItem(speedKey)));
    if (kept >= 0) this.speedAt = kept;
    stage.onStale = () => (this.drawn = NaN);
    const frame = (now: number) => {
      this.tick(Math.min(0.25, (now - this.last) / 1000));
      this.last = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  get speed(): number {
    return speeds[this.speedAt]!;
  }

  // Seconds until every clip has been seen to its end.
  get left(): number {
    return this.playedOnce ? 0 : Math.max(0, this.length - this.seconds) / this.speed;
  }

  // Whole steps from the first pose.
  get step(): number {
    return Math.min(Math.floor(this.seconds * this.fps + 1e-6), this.steps);
  }

  get steps(): number {
    return Math.round(this.length * this.fps);
  }

  load(scene: Scene, clips: readonly Clip[], fps: number): void {
    this.fps = fps > 0 ? fps : 30;
    this.length = Math.max(...clips.map(({ steps }) => steps)) / this.fps;
    this.seconds = 0;
    this.loops = 0;
    this.playedOnce = false;
    this.moved = false;
    this.loaded = true;
    this.playing = true;
    this.stage.show(scene, clips);
    this.onChange();
  }

  clear(): void {
    this.loaded = false;
  }

  toggle(): void {
    this.playing = !this.playing;
    this.onChange();
  }

  move(steps: number): void {
    this.playing = false;
    // not from the first pose back to the last one: that would count as having seen the clip
    this.seconds = (Math.max(0, this.step + steps) % (this.steps + 1)) / this.fps;
    this.noteEnd();
    this.onChange();
  }

  faster(by: number): void {
    this.speedAt = Math.min(speeds.length - 1, Math.max(0, this.speedAt + by));
    localStorage.setItem(speedKey, String(this.speed));
    this.onChange();
  }

  turn(azimuth: number, elevation: number): void {
    this.orbit.azimuth += azimuth;
    this.orbit.elevation = Math.min(60, Math.max(-80, this.orbit.elevation + elevation));
    this.drawn = NaN;
    this.onChange();
  }

  zoom(factor: number): void {
    this.orbit.zoom = Math.min(3, Math.max(0.4, this.orbit.zoom * factor));
    this.drawn = NaN;
    this.onChange();
  }

  resetView(): void {
    Object.assign(this.orbit, { azimuth: 0, elevation: 0, zoom: 1 });
    this.drawn = NaN;
    this.onChange();
  }

  get turned(): boolean {
    return this.orbit.azimuth !== 0 || this.orbit.elevation !== 0 || this.orbit.zoom !== 1;
  }

  private noteEnd(): void {
    if (this.playedOnce || this.seconds < this.length - 1e-6) return;
    this.playedOnce = true;
    this.onPlayedOnce();
  }

  private tick(elapsed: number): void {
    if (!this.loaded) return;
    if (this.playing && this.moved) {
      // the end is held from when it was drawn, whatever the speed
      if (this.seconds < this.length)
        this.seconds = Math.min(this.seconds + elapsed * this.speed, this.length);
      else this.seconds += elapsed;
      this.noteEnd();
      if (this.seconds >= this.length + holdSeconds) {
        this.seconds = 0;
        ++this.loops;
      }
      this.slow = 0.97 * this.slow + 0.03 * elapsed;
      if (this.stage.adapt(this.slow)) this.slow = 0;
    }
    const moment = Math.min(this.seconds, this.length) * this.fps;
    if (moment === this.drawn) return;
    this.stage.draw(moment, this.orbit);
    this.drawn = moment;
    if (!this.moved) {
      this.moved = true;
      this.onFirstMove();
    }
  }
}

// Turns the camera of `player` by dragging on `element`, and by two fingers.
export function turnByDragging(element: HTMLElement, player: Player): void {
  const fingers = new Map<number, { x: number; y: number }>();
  const spread = () => {
    const [a, b] = [...fingers.values()];
    return a && b ? Math.hypot(a.x - b.x, a.y - b.y) : 0;
  };
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || (event.target as Element).closest("button, input, a")) return;
    element.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  element.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const wide = spread();
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (fingers.size >= 2) {
      if (wide > 0) player.zoom(wide / Math.max(1, spread()));
    } else {
      player.turn((before.x - event.clientX) * 0.4, (before.y - event.clientY) * 0.3);
    }
  });
  const end = (event: PointerEvent) => fingers.delete(event.pointerId);
  element.addEventListener("pointerup", end);
  element.addEventListener("pointercancel", end);
  element.addEventListener("dblclick", () => player.resetView());
}
