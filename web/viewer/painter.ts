// How clips are drawn: what every painter does, and what they share.
import { Matrix4 } from "three";
import type { Clip, Orbit, Scene } from "./scene";

export interface Panel {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Painter {
  readonly canvas: HTMLCanvasElement;
  resize(width: number, height: number, ratio: number): void;
  setScene(scene: Scene): void;
  // Panels in CSS pixels from the canvas's upper left corner.
  paint(
    scene: Scene,
    clips: readonly Clip[],
    panels: readonly Panel[],
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

export const near = 0.05;

export const rootMatrix = new Matrix4().makeRotationX(-Math.PI / 2);
