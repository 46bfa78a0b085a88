// Draws clips into panels of the page: one canvas lies under all of them, and
// one context draws each into its part. Without WebGL the outlines of the bodies
// are drawn on a plain canvas.
import {
  CanvasTexture,
  Color,
  DirectionalLight,
  Fog,
  HemisphereLight,
  Matrix4,
  Mesh,
  MeshBasicMaterial,
  MeshLambertMaterial,
  NotEqualStencilFunc,
  PerspectiveCamera,
  PlaneGeometry,
  RepeatWrapping,
  ReplaceStencilOp,
  Scene as Graph,
  SRGBColorSpace,
  Vector3,
  WebGLRenderer,
} from "three";
import {
  bodyMatrix,
  type Clip,
  type Orbit,
  outlinePoints,
  type Part,
  type Scene,
  viewOf,
} from "./scene";

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

interface Theme {
  sky: string;
  light: string;
  dark: string;
  shadow: number;
}

function theme(): Theme {
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

const floorSize = 120;
// Where the light comes from, for the shadows.
const sun = new Vector3(0.35, 1, 0.25);
const near = 0.05;

export class WebGlPainter implements Painter {
  readonly canvas = document.createElement("canvas");
  private readonly renderer: WebGLRenderer;
  private readonly graph = new Graph();
  private readonly camera = new PerspectiveCamera(45, 1, near, 200);
  private readonly floor: Mesh;
  private meshes: { part: Part; mesh: Mesh; shadow?: Mesh }[] = [];
  private readonly flat = new Matrix4().set(
    1,
    -sun.x,
    0,
    0,
    0,
    0,
    0,
    0.004,
    0,
    -sun.z,
    1,
    0,
    0,
    0,
    0,
    1,
  );
  private readonly poses: Matrix4[] = [];
  private readonly shadow: number;

  constructor(software: boolean) {
    this.renderer = new WebGLRenderer({
      canvas: this.canvas,
      alpha: true,
      antialias: !software,
      stencil: true,
      powerPreference: "low-power",
    });
    this.renderer.autoClear = false;
    const { sky, light, dark, shadow } = theme();
    this.shadow = shadow;
    this.graph.background = new Color(sky);
    this.graph.fog = new Fog(sky, 7, 26);
    this.graph.add(new HemisphereLight(0xffffff, 0xaab4c0, 2.1));
    const lamp = new DirectionalLight(0xffffff, 1.7);
    lamp.position.set(-1.5, 4, 3);
    this.graph.add(lamp);
    this.floor = new Mesh(
      new PlaneGeometry(floorSize, floorSize),
      new MeshBasicMaterial({ map: this.tiles(light, dark, software) }),
    );
    this.floor.rotation.x = -Math.PI / 2;
    this.floor.renderOrder = -2;
    this.graph.add(this.floor);
  }

  private tiles(light: string, dark: string, software: boolean): CanvasTexture {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 64;
    const context = canvas.getContext("2d")!;
    context.fillStyle = light;
    context.fillRect(0, 0, 64, 64);
    context.fillStyle = dark;
    context.fillRect(0, 0, 32, 32);
    context.fillRect(32, 32, 32, 32);
    const texture = new CanvasTexture(canvas);
    texture.colorSpace = SRGBColorSpace;
    texture.wrapS = texture.wrapT = RepeatWrapping;
    texture.repeat.set(floorSize / 2, floorSize / 2); // squares of one metre
    texture.anisotropy = software ? 1 : 8;
    return texture;
  }

  resize(width: number, height: number, ratio: number): void {
    this.renderer.setPixelRatio(ratio);
    this.renderer.setSize(width, height, false);
  }

  setScene(scene: Scene): void {
    for (const { mesh, shadow } of this.meshes) {
      this.graph.remove(mesh);
      if (shadow) this.graph.remove(shadow);
    }
    this.floor.visible = scene.look.floor;
    this.meshes = scene.parts.map((part) => {
      const mesh = new Mesh(
        part.geometry,
        new MeshLambertMaterial({
          color: part.colour,
          transparent: part.opacity < 1,
          opacity: part.opacity,
        }),
      );
      mesh.matrixAutoUpdate = mesh.matrixWorldAutoUpdate = false;
      this.graph.add(mesh);
      if (!scene.look.floor || part.body < 0) return { part, mesh };
      // flattened onto the floor; the stencil keeps overlaps from darkening twice
      const shadow = new Mesh(
        part.geometry,
        new MeshBasicMaterial({
          color: 0x0c1218,
          transparent: true,
          opacity: this.shadow,
          depthWrite: false,
          stencilWrite: true,
          stencilRef: 1,
          stencilFunc: NotEqualStencilFunc,
          stencilZPass: ReplaceStencilOp,
        }),
      );
      shadow.matrixAutoUpdate = shadow.matrixWorldAutoUpdate = false;
      shadow.frustumCulled = false;
      shadow.renderOrder = -1;
      this.graph.add(shadow);
      return { part, mesh, shadow };
    });
  }

  paint(
    scene: Scene,
    clips: readonly Clip[],
    panels: readonly Panel[],
    moment: number,
    orbit: Orbit,
  ): void {
    if (this.renderer.getContext().isContextLost()) return;
    const height = this.canvas.height / this.renderer.getPixelRatio();
    this.renderer.setScissorTest(true);
    panels.forEach((panel, i) => {
      const clip = clips[i];
      if (!clip || panel.width < 2 || panel.height < 2) return;
      const y = height - panel.y - panel.height; // WebGL counts from below
      this.renderer.setViewport(panel.x, y, panel.width, panel.height);
      this.renderer.setScissor(panel.x, y, panel.width, panel.height);
      for (let body = 0; body < scene.bodies; ++body) {
        this.poses[body] = bodyMatrix(clip, body, moment, this.poses[body] ?? new Matrix4());
      }
      for (const { part, mesh, shadow } of this.meshes) {
        if (part.body < 0) mesh.matrixWorld.copy(part.local).premultiply(rootMatrix);
        else mesh.matrixWorld.multiplyMatrices(this.poses[part.body]!, part.local);
        shadow?.matrixWorld.multiplyMatrices(this.flat, mesh.matrixWorld);
      }
      const aspect = panel.width / panel.height;
      const { eye, target, fov } = viewOf(scene, clip, moment, orbit, aspect);
      this.camera.aspect = aspect;
      this.camera.fov = fov;
      this.camera.position.copy(eye);
      this.camera.lookAt(target);
      this.camera.updateProjectionMatrix();
      const fog = this.graph.fog as Fog;
      const distance = eye.distanceTo(target);
      fog.near = distance * 1.6;
      fog.far = distance * 6;
      this.renderer.clear();
      this.renderer.render(this.graph, this.camera);
    });
    this.renderer.setScissorTest(false);
  }

  dispose(): void {
    this.renderer.dispose();
    this.renderer.forceContextLoss();
  }
}

const rootMatrix = new Matrix4().makeRotationX(-Math.PI / 2);

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

// Whether a program draws instead of a graphics processor. Undefined: no WebGL.
export function drawnBySoftware(): boolean | undefined {
  const context = document
    .createElement("canvas")
    .getContext("webgl2", { failIfMajorPerformanceCaveat: false });
  if (!context) return undefined;
  const extension = context.getExtension("WEBGL_debug_renderer_info");
  const name = String(
    context.getParameter(extension ? extension.UNMASKED_RENDERER_WEBGL : context.RENDERER),
  );
  context.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|software/i.test(name);
}

// How long a lost context may take to come back before outlines are drawn.
export const restoreMs = 4_000;

export class Stage {
  // Called when what was drawn is out of date: other clips, a new size, colours
  // or context.
  onStale: () => void = () => {};
  // Pictures drawn, for measurements.
  pictures = 0;
  private painter: Painter;
  private panels: HTMLElement[] = [];
  private scene?: Scene;
  private clips: readonly Clip[] = [];
  private readonly software: boolean | undefined;
  // Lowered while drawing takes too long.
  private quality = 1;
  // Pictures that came in time, and how many of them it takes to draw finer.
  private calm = 0;
  private patience = 150;
  private stale = true;
  private readonly observer = new ResizeObserver(() => this.invalidate());

  // The canvas fills `container`, below everything else in it.
  constructor(private readonly container: HTMLElement) {
    this.software = drawnBySoftware();
    this.painter = this.makePainter();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
      this.replacePainter(),
    );
    this.observer.observe(container);
  }

  get flat(): boolean {
    return this.painter instanceof OutlinePainter;
  }

  private makePainter(): Painter {
    let painter: Painter;
    try {
      if (this.software === undefined) throw new Error("no WebGL");
      painter = new WebGlPainter(this.software);
    } catch {
      painter = new OutlinePainter();
    }
    this.adopt(painter);
    return painter;
  }

  private adopt(painter: Painter): void {
    const { canvas } = painter;
    canvas.className = "stage-canvas";
    canvas.setAttribute("aria-hidden", "true");
    let timer = 0;
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      if (canvas !== this.painter.canvas) return; // replaced
      timer = window.setTimeout(() => {
        this.painter.canvas.remove();
        this.painter = new OutlinePainter();
        this.adopt(this.painter);
        if (this.scene) this.painter.setScene(this.scene);
        this.invalidate();
      }, restoreMs);
    });
    canvas.addEventListener("webglcontextrestored", () => {
      clearTimeout(timer);
      this.invalidate();
    });
    this.container.prepend(canvas);
  }

  private replacePainter(): void {
    const old = this.painter;
    old.canvas.remove();
    this.painter = this.makePainter();
    old.dispose();
    if (this.scene) this.painter.setScene(this.scene);
    this.invalidate();
  }

  invalidate(): void {
    this.stale = true;
    this.onStale();
  }

  // One panel for each clip; they are inside the container.
  setPanels(panels: HTMLElement[]): void {
    for (const panel of this.panels) this.observer.unobserve(panel);
    this.panels = panels;
    for (const panel of panels) this.observer.observe(panel);
    this.invalidate();
  }

  show(scene: Scene, clips: readonly Clip[]): void {
    if (scene !== this.scene) this.painter.setScene(scene);
    this.scene = scene;
    this.clips = clips;
    this.onStale();
  }

  draw(moment: number, orbit: Orbit): void {
    if (!this.scene) return;
    const outer = this.container.getBoundingClientRect();
    if (this.stale) {
      this.stale = false;
      const most = this.software === false ? 2 : 1;
      this.painter.resize(
        outer.width,
        outer.height,
        Math.min(most, devicePixelRatio) * this.quality,
      );
    }
    const panels = this.panels.map((panel) => {
      const rect = panel.getBoundingClientRect();
      return {
        x: rect.left - outer.left,
        y: rect.top - outer.top,
        width: rect.width,
        height: rect.height,
      };
    });
    this.painter.paint(this.scene, this.clips, panels, moment, orbit);
    ++this.pictures;
  }

  // Seconds between pictures lately: drawing gets coarser rather than slow, and
  // fine again when there was time for long enough. Whether it has changed.
  adapt(seconds: number): boolean {
    if (seconds > 1 / 36 && this.quality > 0.7) {
      this.quality *= 0.8;
      this.patience = Math.min(2 * this.patience, 100_000);
    } else if (this.quality < 1 && seconds > 0 && seconds < 1 / 50 && ++this.calm > this.patience) {
      this.quality = Math.min(1, this.quality / 0.8);
    } else {
      return false;
    }
    this.calm = 0;
    this.stale = true;
    return true;
  }
}
