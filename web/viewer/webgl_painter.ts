// Draws clips with WebGL, with shadows on a chequered floor.
import {
  CanvasTexture,
  Color,
  DirectionalLight,
  Fog,
  Scene as Graph,
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
  SRGBColorSpace,
  Vector3,
  WebGLRenderer,
} from "three";
import { aim, type Drawing, near, type Painter, theme } from "./painter";
import { bodyMatrix, type Part, type Scene, zUpToYUp } from "./scene";

const floorSize = 120;
// Where the light comes from, for the shadows.
const sun = new Vector3(0.35, 1, 0.25);

export class WebGlPainter implements Painter {
  readonly canvas = document.createElement("canvas");
  private readonly renderer: WebGLRenderer;
  private readonly graph = new Graph();
  private readonly camera = new PerspectiveCamera(45, 1, near, 200);
  private readonly fog: Fog;
  private readonly floor: Mesh;
  private meshes: { part: Part; mesh: Mesh; shadow?: Mesh }[] = [];
  // Throws a shadow onto the floor, and a little above it.
  private readonly flat = new Matrix4()
    .makeShear(0, 0, -sun.x, -sun.z, 0, 0)
    .premultiply(new Matrix4().makeScale(1, 0, 1))
    .setPosition(0, 0.004, 0);
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
    this.graph.fog = this.fog = new Fog(sky);
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

  paint(drawing: Drawing): void {
    const { scene, clips, viewports, moment } = drawing;
    if (this.renderer.getContext().isContextLost()) return;
    const height = this.canvas.height / this.renderer.getPixelRatio();
    this.renderer.setScissorTest(true);
    viewports.forEach((viewport, i) => {
      const clip = clips[i];
      if (!clip || viewport.width < 2 || viewport.height < 2) return;
      const y = height - viewport.y - viewport.height; // WebGL counts from below
      this.renderer.setViewport(viewport.x, y, viewport.width, viewport.height);
      this.renderer.setScissor(viewport.x, y, viewport.width, viewport.height);
      for (let body = 0; body < scene.bodies; ++body) {
        this.poses[body] = bodyMatrix(clip, body, moment, this.poses[body] ?? new Matrix4());
      }
      for (const { part, mesh, shadow } of this.meshes) {
        const pose = part.body < 0 ? zUpToYUp : this.poses[part.body]!;
        mesh.matrixWorld.multiplyMatrices(pose, part.local);
        shadow?.matrixWorld.multiplyMatrices(this.flat, mesh.matrixWorld);
      }
      const { eye, target } = aim(this.camera, drawing, clip, viewport);
      const distance = eye.distanceTo(target);
      this.fog.near = distance * 1.6;
      this.fog.far = distance * 6;
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
