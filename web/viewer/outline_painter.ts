// Draws clips on a plain canvas, where there is no WebGL: each geom as the outline
// of its convex hull, which is also its shape in collisions.
import { type BufferAttribute, Matrix4, PerspectiveCamera, Vector3 } from "three";
import { aim, type Drawing, near, type Painter, theme, type Viewport } from "./painter";
import { bodyMatrix, type Part, type Poses, type Scene, zUpToYUp } from "./scene";

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

  paint(drawing: Drawing): void {
    const { scene, clips, viewports, moment } = drawing;
    const { context } = this;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.canvas.clientWidth, this.canvas.clientHeight);
    viewports.forEach((viewport, i) => {
      const clip = clips[i];
      if (!clip || viewport.width < 2) return;
      const { eye, target } = aim(this.camera, drawing, clip, viewport);
      context.save();
      context.translate(viewport.x, viewport.y);
      context.beginPath();
      context.rect(0, 0, viewport.width, viewport.height);
      context.clip();
      context.fillStyle = this.theme.sky;
      context.fillRect(0, 0, viewport.width, viewport.height);
      if (scene.look.floor) this.drawFloor(viewport, target, eye);
      this.drawParts(viewport, clip, moment);
      context.restore();
    });
  }

  // The farthest first.
  private drawParts(viewport: Viewport, clip: Poses, moment: number): void {
    const { context } = this;
    const matrix = new Matrix4();
    const drawn = this.parts.map(({ part, points, fill, line }) => {
      if (part.body < 0) matrix.copy(zUpToYUp);
      else bodyMatrix(clip, part.body, moment, matrix);
      const seen = points.map((point) => this.toCamera(point.clone().applyMatrix4(matrix)));
      const depth = -seen.reduce((sum, { z }) => sum + z, 0) / points.length;
      const shown = seen.every(({ z }) => z <= -near);
      const corners = shown ? seen.map((point) => this.toPixels(point, viewport)) : [];
      return { corners: hull(corners), depth, fill, line };
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
  }

  private toCamera(point: Vector3): Vector3 {
    return point.applyMatrix4(this.camera.matrixWorldInverse);
  }

  // A point before the camera, in its frame; it is changed.
  private toPixels(point: Vector3, { width, height }: Viewport): [number, number] {
    point.applyMatrix4(this.camera.projectionMatrix);
    return [((point.x + 1) / 2) * width, ((1 - point.y) / 2) * height];
  }

  // Up to the horizon, with lines a metre apart.
  private drawFloor(viewport: Viewport, target: Vector3, eye: Vector3): void {
    const { context } = this;
    const away = new Vector3(target.x - eye.x, 0, target.z - eye.z).setLength(60).add(eye).setY(0);
    const far = this.toCamera(away);
    const top = far.z > -near ? 0 : Math.max(0, this.toPixels(far, viewport)[1]);
    context.fillStyle = this.theme.light;
    context.fillRect(0, top, viewport.width, viewport.height - top);
    context.strokeStyle = this.theme.dark;
    context.lineWidth = 1.5;
    context.beginPath();
    const reach = 12;
    const x0 = Math.round(target.x);
    const z0 = Math.round(target.z);
    for (let k = -reach; k <= reach; ++k) {
      this.line(new Vector3(x0 + k, 0, z0 - reach), new Vector3(x0 + k, 0, z0 + reach), viewport);
      this.line(new Vector3(x0 - reach, 0, z0 + k), new Vector3(x0 + reach, 0, z0 + k), viewport);
    }
    context.stroke();
  }

  // What of a line is before the camera.
  private line(from: Vector3, to: Vector3, viewport: Viewport): void {
    const a = this.toCamera(from);
    const b = this.toCamera(to);
    if (a.z > -near && b.z > -near) return;
    if (a.z > -near) a.lerp(b, (a.z + near) / (a.z - b.z));
    if (b.z > -near) b.lerp(a, (b.z + near) / (b.z - a.z));
    this.context.moveTo(...this.toPixels(a, viewport));
    this.context.lineTo(...this.toPixels(b, viewport));
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

// Points of a part that can be on its outline, in its body's frame.
function outlinePoints(part: Part, most = 120): Vector3[] {
  const position = part.geometry.getAttribute("position") as BufferAttribute;
  const points = new Map<string, Vector3>();
  for (let i = 0; i < position.count; ++i) {
    const point = new Vector3().fromBufferAttribute(position, i);
    points.set(`${point.x.toFixed(4)},${point.y.toFixed(4)},${point.z.toFixed(4)}`, point);
  }
  let all = [...points.values()];
  if (all.length > most) {
    // the outermost in each of `most` directions
    const kept = new Set<Vector3>();
    for (let i = 0; i < most; ++i) {
      const y = 1 - (2 * (i + 0.5)) / most;
      const turn = i * Math.PI * (3 - Math.sqrt(5));
      const r = Math.sqrt(1 - y * y);
      const direction = new Vector3(r * Math.cos(turn), y, r * Math.sin(turn));
      kept.add(
        all.reduce((best, point) => (point.dot(direction) > best.dot(direction) ? point : best)),
      );
    }
    all = [...kept];
  }
  return all.map((point) => point.applyMatrix4(part.local));
}
