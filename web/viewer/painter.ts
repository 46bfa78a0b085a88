// What every painter of clips does, and what painters share.
import type { PerspectiveCamera } from "three";
import { farOf, nearOf, type Orbit, type Poses, type Scene, type View, viewOf } from "./scene";

// Where a clip is drawn: CSS pixels from the canvas's upper left corner.
export interface Viewport {
  x: number;
  y: number;
  width: number;
  height: number;
}

// One moment of some clips, all seen from the same place.
export interface Drawing {
  scene: Scene;
  clips: readonly Poses[];
  // One for each clip.
  viewports: readonly Viewport[];
  moment: number;
  orbit: Orbit;
}

export interface Painter {
  readonly canvas: HTMLCanvasElement;
  resize(width: number, height: number, ratio: number): void;
  setScene(scene: Scene): void;
  paint(drawing: Drawing): void;
  dispose(): void;
}

export interface Theme {
  sky: string;
  light: string;
  dark: string;
  shadow: number;
}

export function theme(): Theme {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string, otherwise: string) =>
    style.getPropertyValue(name).trim() || otherwise;
  return {
    sky: read("--sky", "#e8edf3"),
    light: read("--floor-1", "#d6dee7"),
    dark: read("--floor-2", "#c6d0dc"),
    shadow: Number(read("--shadow", "0.3")),
  };
}

// The side of a square of the floor: a metre, unless the camera is much closer or farther.
export function squareOf({ look }: Scene): number {
  return 10 ** Math.round(Math.log10(look.camera.distance / 4));
}

// Points a painter's camera at the clip in a viewport.
export function aim(camera: PerspectiveCamera, drawing: Drawing, clip: Poses, at: Viewport): View {
  camera.aspect = at.width / at.height;
  const view = viewOf(drawing.scene, clip, drawing.moment, drawing.orbit, camera.aspect);
  camera.fov = view.fov;
  camera.near = nearOf(drawing.scene);
  camera.far = farOf(drawing.scene);
  camera.position.copy(view.eye);
  camera.lookAt(view.target);
  camera.updateProjectionMatrix();
  camera.updateMatrixWorld();
  return view;
}
