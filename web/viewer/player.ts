// The clock and the camera of clips that are played together. How they are drawn
// is not its business.
import type { Orbit } from "./scene";

// The last pose is held for a moment, so that the eye sees where a clip ends.
const holdSeconds = 0.2;

const straight: Orbit = { azimuth: 0, elevation: 0, zoom: 1 };

// Events: "change" when something that controls show has changed, "step" when
// another step is reached, "end" when all clips have been played to their end for
// the first time.
export class Player extends EventTarget {
  speed = 1;
  loops = 0;
  playedOnce = false;
  // Replaced when the view is turned, never changed.
  orbit = straight;
  // The steps of the longest clip.
  steps = 0;
  private seconds = 0;

  constructor(
    private fps = 30,
    private running = true,
  ) {
    super();
  }

  // Begins other clips, playing; 0 fps stands for 30.
  load(steps: number, fps: number): void {
    this.fps = fps > 0 ? fps : 30;
    this.steps = steps;
    this.seconds = 0;
    this.loops = 0;
    this.playedOnce = false;
    this.playing = true;
  }

  get playing(): boolean {
    return this.running;
  }

  set playing(playing: boolean) {
    this.running = playing;
    this.emit("change");
  }

  toggle(): void {
    this.playing = !this.running;
  }

  // Between the first pose (0) and the last (steps), also between two poses.
  get moment(): number {
    return Math.min(this.seconds * this.fps, this.steps);
  }

  // Whole steps from the first pose.
  get step(): number {
    return Math.floor(this.moment + 1e-6);
  }

  // Seconds until every clip has been seen to its end.
  get left(): number {
    return this.playedOnce ? 0 : Math.max(0, this.length - this.seconds) / this.speed;
  }

  private get length(): number {
    return this.steps / this.fps;
  }

  seek(step: number): void {
    this.seconds = Math.min(Math.max(0, step), this.steps) / this.fps;
    this.noteEnd();
    this.emit("step");
  }

  // Stops, and goes some steps forward or back.
  move(steps: number): void {
    // not from the first pose back to the last one: that would count as having seen the clip
    this.seek(Math.max(0, this.step + steps) % (this.steps + 1));
    this.playing = false;
  }

  // Degrees.
  turn(azimuth: number, elevation: number): void {
    this.look({
      ...this.orbit,
      azimuth: this.orbit.azimuth + azimuth,
      elevation: Math.min(60, Math.max(-80, this.orbit.elevation + elevation)),
    });
  }

  zoom(factor: number): void {
    this.look({ ...this.orbit, zoom: Math.min(3, Math.max(0.4, this.orbit.zoom * factor)) });
  }

  resetView(): void {
    this.look(straight);
  }

  get turned(): boolean {
    return this.orbit !== straight;
  }

  // Lets seconds of the day pass.
  tick(elapsed: number): void {
    if (!this.running) return;
    const before = this.step;
    // the end is held for the same time at any speed
    if (this.seconds < this.length)
      this.seconds = Math.min(this.seconds + elapsed * this.speed, this.length);
    else this.seconds += elapsed;
    this.noteEnd();
    if (this.seconds >= this.length + holdSeconds) {
      this.seconds = 0;
      ++this.loops;
    }
    if (this.step !== before) this.emit("step");
  }

  private look(orbit: Orbit): void {
    this.orbit = orbit;
    this.emit("change");
  }

  private noteEnd(): void {
    if (this.playedOnce || this.seconds < this.length - 1e-6) return;
    this.playedOnce = true;
    this.emit("end");
  }

  private emit(event: "change" | "step" | "end"): void {
    this.dispatchEvent(new Event(event));
  }
}
