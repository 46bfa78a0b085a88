// Draws clips on a plain canvas, where there is no WebGL: each geom as the outline
// of its convex hull, which is also its shape in collisions.
import { type BufferAttribute, Color, Matrix4, PerspectiveCamera, Vector3, Vector4 } from "three";
import { aim, type Drawing, type Painter, squareOf, theme, type Viewport } from "./painter";
import { floorMatrix, type Part, type Poses, poseOf, type Scene } from "./scene";

// One outline of a picture.
interface Drawn {
  corners: [number, number][];
  depth: number;
  fill: string;
  line: string;
  opacity: number;
}

export class OutlinePainter implements Painter {
  readonly canvas = document.createElement("canvas");
  private readonly context = this.canvas.getContext("2d")!;
  private parts: { part: Part; points: Vector3[]; fill: string; line: string }[] = [];
  private ratio = 1;
  private readonly camera = new PerspectiveCamera();
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
      const height = scene.groundHeight;
      if (height !== undefined) this.drawGround(viewport, target, eye, height, squareOf(scene));
      this.draw([
        ...this.floors(scene, viewport, clip, moment),
        ...this.parts.flatMap((part) => this.outlines(part, viewport, clip, moment)),
      ]);
      context.restore();
    });
  }

  // The farthest first.
  private draw(drawn: Drawn[]): void {
    const { context } = this;
    drawn.sort((a, b) => b.depth - a.depth);
    context.lineJoin = "round";
    context.lineWidth = 1.5;
    for (const { corners, fill, line, opacity } of drawn) {
      context.globalAlpha = opacity;
      context.beginPath();
      for (const [x, y] of corners) context.lineTo(x, y);
      context.closePath();
      context.fillStyle = fill;
      context.fill();
      context.strokeStyle = line;
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  // The hull of points of the world; nothing if one of them is behind the camera.
  private outline(
    points: Vector3[],
    viewport: Viewport,
    look: Omit<Drawn, "corners" | "depth">,
  ): Drawn[] {
    const seen = points.map((point) => this.toCamera(point));
    if (seen.length === 0 || seen.some(({ z }) => z > -this.camera.near)) return [];
    const depth = -seen.reduce((sum, { z }) => sum + z, 0) / seen.length;
    return [{ corners: hull(seen.map((point) => this.toPixels(point, viewport))), depth, ...look }];
  }

  // A geom; or each triangle of what several bodies move.
  private outlines(
    { part, points, fill, line }: OutlinePainter["parts"][number],
    viewport: Viewport,
    clip: Poses,
    moment: number,
  ): Drawn[] {
    const look = { fill, line, opacity: part.opacity };
    if (!part.skin) {
      const matrix = poseOf(clip, part.body, moment, new Matrix4());
      return this.outline(
        points.map((p) => p.clone().applyMatrix4(matrix)),
        viewport,
        look,
      );
    }
    const vertices = skinned(part, clip, moment);
    const { index } = part.geometry;
    const drawn: Drawn[] = [];
    for (let i = 0; index && i < index.count; i += 3) {
      const corners = [0, 1, 2].map((k) => vertices[index.getX(i + k)]!.clone());
      drawn.push(...this.outline(corners, viewport, { ...look, line: fill }));
    }
    return drawn;
  }

  // Floors that end, but for the ground.
  private floors(scene: Scene, viewport: Viewport, clip: Poses, moment: number): Drawn[] {
    return scene.look.floors.flatMap((floor, i) => {
      const [x, y] = floor.size;
      if (i === scene.look.ground || x === 0 || y === 0) return [];
      const matrix = floorMatrix(floor, clip, moment, new Matrix4());
      const corners = [-1, 1].flatMap((u) =>
        [-1, 1].map((v) => new Vector3(u * x, v * y, 0).applyMatrix4(matrix)),
      );
      const [r, g, b, opacity] = floor.colour ?? [0.8, 0.8, 0.8, 1];
      const fill = `#${new Color(r, g, b).getHexString()}`;
      return this.outline(corners, viewport, { fill, line: this.theme.dark, opacity });
    });
  }

  private toCamera(point: Vector3): Vector3 {
    return point.applyMatrix4(this.camera.matrixWorldInverse);
  }

  // A point before the camera, in its frame; it is changed.
  private toPixels(point: Vector3, { width, height }: Viewport): [number, number] {
    point.applyMatrix4(this.camera.projectionMatrix);
    return [((point.x + 1) / 2) * width, ((1 - point.y) / 2) * height];
  }

  // Up to the horizon, with lines a square apart.
  private drawGround(
    viewport: Viewport,
    target: Vector3,
    eye: Vector3,
    height: number,
    square: number,
  ): void {
    const { context } = this;
    const away = new Vector3(target.x - eye.x, 0, target.z - eye.z)
      .setLength(60 * square)
      .add(eye)
      .setY(height);
    const far = this.toCamera(away);
    const top = far.z > -this.camera.near ? 0 : Math.max(0, this.toPixels(far, viewport)[1]);
    context.fillStyle = this.theme.light;
    context.fillRect(0, top, viewport.width, viewport.height - top);
    context.strokeStyle = this.theme.dark;
    context.lineWidth = 1.5;
    context.beginPath();
    const reach = 12;
    const x0 = Math.round(target.x / square);
    const z0 = Math.round(target.z / square);
    const at = (x: number, z: number) => new Vector3(x * square, height, z * square);
    for (let k = -reach; k <= reach; ++k) {
      this.line(at(x0 + k, z0 - reach), at(x0 + k, z0 + reach), viewport);
      this.line(at(x0 - reach, z0 + k), at(x0 + reach, z0 + k), viewport);
    }
    context.stroke();
  }

  // What of a line is before the camera.
  private line(from: Vector3, to: Vector3, viewport: Viewport): void {
    const a = this.toCamera(from);
    const b = this.toCamera(to);
    const { near } = this.camera;
    if (a.z > -near && b.z > -near) return;
    if (a.z > -near) a.lerp(b, (a.z + near) / (a.z - b.z));
    if (b.z > -near) b.lerp(a, (b.z + near) / (b.z - a.z));
    this.context.moveTo(...this.toPixels(a, viewport));
    this.context.lineTo(...this.toPixels(b, viewport));
  }

  dispose(): void {}
}

// Where the vertices of what several bodies move are, in the world.
function skinned(part: Part, clip: Poses, moment: number): Vector3[] {
  const { bodies, inverses } = part.skin!;
  const moved = bodies.map((body, i) =>
    poseOf(clip, body, moment, new Matrix4()).multiply(inverses[i]!),
  );
  const [position, index, weight] = ["position", "skinIndex", "skinWeight"].map(
    (name) => part.geometry.getAttribute(name) as BufferAttribute,
  );
  return Array.from({ length: position!.count }, (_, i) => {
    const bones = new Vector4().fromBufferAttribute(index!, i);
    const weights = new Vector4().fromBufferAttribute(weight!, i);
    const sum = new Vector3();
    for (let k = 0; k < 4; ++k) {
      const point = new Vector3().fromBufferAttribute(position!, i);
      sum.addScaledVector(
        point.applyMatrix4(moved[bones.getComponent(k)]!),
        weights.getComponent(k),
      );
    }
    return sum;
  });
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
