// Draws clips on a plain canvas, where there is no WebGL.
import { Matrix4, PerspectiveCamera, Vector3 } from "three";
import { near, type Painter, type Panel, rootMatrix, theme } from "./painter";
import {
  bodyMatrix,
  type Clip,
  type Orbit,
  outlinePoints,
  type Part,
  type Scene,
  viewOf,
} from "./scene";

// Each geom as the outline of its convex hull, as collisions see it.
export class OutlinePainter implements Painter {
  readonly canvas = document.createElement("canvas");
  private readonly context = this.canvas.getContext("2d")!;
  private parts: { part: Part; points: Vector3[]; fill: string; line: string }[] = [];
  private ratio = 1;
  private readonly camera = new PerspectiveCamera(45, 1, near, 200);
  private readonly theme = theme();

  resize(width: number, height: number, ratio: number): void {
    this.ratio = ratio;
    this.canvas.width = Math.max(1, Math.round(width * ratio));
    this.canvas.height = Math.max(1, Math.round(height * ratio));
  }

  setScene(scene: Scene): void {
    this.parts = scene.parts.map((part) => {
      const darker = part.colour.clone().multiplyScalar(0.45);
      return {
        part,
        points: outlinePoints(part),
        fill: `#${part.colour.getHexString()}`,
        line: `#${darker.getHexString()}`,
      };
    });
  }

  paint(
    scene: Scene,
    clips: readonly Clip[],
    panels: readonly Panel[],
    moment: number,
    orbit: Orbit,
  ): void {
    const { context } = this;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.canvas.clientWidth, this.canvas.clientHeight);
    panels.forEach((panel, i) => {
      const clip = clips[i];
      if (!clip || panel.width < 2) return;
      const aspect = panel.width / panel.height;
      const { eye, target, fov } = viewOf(scene, clip, moment, orbit, aspect);
      this.camera.aspect = aspect;
      this.camera.fov = fov;
      this.camera.position.copy(eye);
      this.camera.lookAt(target);
      this.camera.updateProjectionMatrix();
      this.camera.updateMatrixWorld();
      context.save();
      context.translate(panel.x, panel.y);
      context.beginPath();
      context.rect(0, 0, panel.width, panel.height);
      context.clip();
      context.fillStyle = this.theme.sky;
      context.fillRect(0, 0, panel.width, panel.height);
      if (scene.look.floor) this.drawFloor(panel, target, eye);
      const matrix = new Matrix4();
      const drawn = this.parts.map(({ part, points, fill, line }) => {
        if (part.body < 0) matrix.copy(rootMatrix);
        else bodyMatrix(clip, part.body, moment, matrix);
        const corners: [number, number][] = [];
        let depth = 0;
        let shown = true;
        for (const point of points) {
          const seen = point
            .clone()
            .applyMatrix4(matrix)
            .applyMatrix4(this.camera.matrixWorldInverse);
          depth += -seen.z / points.length;
          if (seen.z > -near) shown = false;
          seen.applyMatrix4(this.camera.projectionMatrix);
          corners.push([((seen.x + 1) / 2) * panel.width, ((1 - seen.y) / 2) * panel.height]);
        }
        return { corners: shown ? hull(corners) : [], depth, fill, line };
      });
      drawn.sort((a, b) => b.depth - a.depth);
      context.lineJoin = "round";
      context.lineWidth = 1.5;
      for (const { corners, fill, line } of drawn) {
        context.beginPath();
        for (const [x, y] of corners) context.lineTo(x, y);
        context.closePath();
        context.fillStyle = fill;
        context.fill();
        context.strokeStyle = line;
        context.stroke();
      }
      context.restore();
    });
  }

  // Up to the horizon, with lines a metre apart.
  private drawFloor(panel: Panel, target: Vector3, eye: Vector3): void {
    const { context } = this;
    const away = new Vector3(target.x - eye.x, 0, target.z - eye.z).setLength(60).add(eye);
    const horizon = this.project(new Vector3(away.x, 0, away.z), panel);
    context.fillStyle = this.theme.light;
    const top = horizon ? Math.max(0, horizon[1]) : 0;
    context.fillRect(0, top, panel.width, panel.height - top);
    context.strokeStyle = this.theme.dark;
    context.lineWidth = 1.5;
    context.beginPath();
    const reach = 12;
    const x0 = Math.round(target.x);
    const z0 = Math.round(target.z);
    for (let k = -reach; k <= reach; ++k) {
      this.line(new Vector3(x0 + k, 0, z0 - reach), new Vector3(x0 + k, 0, z0 + reach), panel);
      this.line(new Vector3(x0 - reach, 0, z0 + k), new Vector3(x0 + reach, 0, z0 + k), panel);
    }
    context.stroke();
  }

  private line(a: Vector3, b: Vector3, panel: Panel): void {
    a.applyMatrix4(this.camera.matrixWorldInverse);
    b.applyMatrix4(this.camera.matrixWorldInverse);
    if (a.z > -near && b.z > -near) return;
    if (a.z > -near) a.lerp(b, (a.z + near) / (a.z - b.z));
    if (b.z > -near) b.lerp(a, (b.z + near) / (b.z - a.z));
    const [from, to] = [a, b].map((point) => {
      point.applyMatrix4(this.camera.projectionMatrix);
      return [((point.x + 1) / 2) * panel.width, ((1 - point.y) / 2) * panel.height] as const;
    });
    this.context.moveTo(...from!);
    this.context.lineTo(...to!);
  }

  private project(point: Vector3, panel: Panel): [number, number] | undefined {
    point.applyMatrix4(this.camera.matrixWorldInverse);
    if (point.z > -near) return undefined;
    point.applyMatrix4(this.camera.projectionMatrix);
    return [((point.x + 1) / 2) * panel.width, ((1 - point.y) / 2) * panel.height];
  }

  dispose(): void {}
}

// Andrew's monotone chain.
function hull(points: [number, number][]): [number, number][] {
  const sorted = points.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const chain = (list: [number, number][]) => {
    const kept: [number, number][] = [];
    for (const p of list) {
      while (kept.length >= 2) {
        const [a, b] = [kept[kept.length - 2]!, kept[kept.length - 1]!];
        if ((b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]) > 0) break;
        kept.pop();
      }
      kept.push(p);
    }
    return kept.slice(0, -1);
  };
  return [...chain(sorted), ...chain(sorted.slice().reverse())];
}
