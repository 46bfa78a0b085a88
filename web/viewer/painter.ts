// What every painter of clips does, and what painters share.
import type { PerspectiveCamera } from "three";
import { type Orbit, type Poses, type Scene, type View, viewOf } from "./scene";

// Where a clip is drawn: CSS pixels from the canvas's upper left corner.
export interface Viewport {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Painter {
  readonly canvas: HTMLCanvasElement;
  resize(width: number, height: number, ratio: number): void;
  setScene(scene: Scene): void;
  // One moment of each clip, seen from the same place.
  paint(
    scene: Scene,
    clips: readonly Poses[],
    viewports: readonly Viewport[],
    moment: number,
    orbit: Orbit,
  ): void;
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

// Metres before the eye where drawing begins.
export const near = 0.05;

// Points a painter's camera at a clip.
export function aim(
  camera: PerspectiveCamera,
  viewport: Viewport,
  ...[scene, clip, moment, orbit]: [Scene, Poses, number, Orbit]
): View {
  camera.aspect = viewport.width / viewport.height;
  const view = viewOf(scene, clip, moment, orbit, camera.aspect);
  camera.fov = view.fov;
  camera.position.copy(view.eye);
  camera.lookAt(view.target);
  camera.updateProjectionMatrix();
  camera.updateMatrixWorld();
  return view;
}
