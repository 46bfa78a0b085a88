// Draws clips with WebGL, with shadows on a chequered floor.
import {
  AlwaysStencilFunc,
  Bone,
  type BufferAttribute,
  CanvasTexture,
  Color,
  DetachedBindMode,
  DirectionalLight,
  DoubleSide,
  EqualStencilFunc,
  Fog,
  Scene as Graph,
  HemisphereLight,
  IncrementStencilOp,
  type Material,
  Matrix4,
  Mesh,
  MeshBasicMaterial,
  MeshLambertMaterial,
  PerspectiveCamera,
  PlaneGeometry,
  RepeatWrapping,
  ReplaceStencilOp,
  Skeleton,
  SkinnedMesh,
  SRGBColorSpace,
  Vector3,
  WebGLRenderer,
} from "three";
import { aim, type Drawing, type Painter, squareOf, theme } from "./painter";
import { type Floor, floorMatrix, type Part, type Poses, poseOf, type Scene } from "./scene";

// Of a floor without an end, in squares; it is drawn around what the camera looks at.
const floorSquares = 120;
// What is more transparent throws no shadow.
const leastShadow = 0.5;
// Where the light comes from, for the shadows.
const sun = new Vector3(0.35, 1, 0.25);

export class WebGlPainter implements Painter {
  readonly canvas = document.createElement("canvas");
  private readonly renderer: WebGLRenderer;
  private readonly graph = new Graph();
  private readonly camera = new PerspectiveCamera();
  private readonly fog: Fog;
  private readonly tiles: CanvasTexture;
  private floors: { floor: Floor; mesh: Mesh }[] = [];
  private meshes: { part: Part; mesh: Mesh; shadow?: Mesh; skeleton?: Skeleton }[] = [];
  // Throws a shadow onto the ground, and a little above it.
  private readonly flat = new Matrix4();
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
    this.tiles = this.makeTiles(light, dark, software);
  }

  // Four squares.
  private makeTiles(light: string, dark: string, software: boolean): CanvasTexture {
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
    texture.anisotropy = software ? 1 : 8;
    return texture;
  }

  resize(width: number, height: number, ratio: number): void {
    this.renderer.setPixelRatio(ratio);
    this.renderer.setSize(width, height, false);
  }

  setScene(scene: Scene): void {
    for (const { mesh } of this.floors) this.graph.remove(mesh);
    for (const { mesh, shadow } of this.meshes) {
      this.graph.remove(mesh);
      if (shadow) this.graph.remove(shadow);
    }
    const { floors, ground } = scene.look;
    this.floors = floors.map((floor, i) => this.addFloor(floor, i === ground, squareOf(scene)));
    const height = scene.groundHeight;
    const lift = 0.001 * scene.look.camera.distance;
    if (height !== undefined) {
      this.flat
        .makeShear(0, 0, -sun.x, -sun.z, 0, 0)
        .multiply(new Matrix4().makeTranslation(0, -height, 0))
        .premultiply(new Matrix4().makeScale(1, 0, 1))
        .premultiply(new Matrix4().makeTranslation(0, height + lift, 0));
    }
    this.meshes = scene.parts.map((part) => {
      const { skin } = part;
      const skeleton =
        skin &&
        new Skeleton(
          skin.bodies.map(() => new Bone()),
          skin.inverses,
        );
      const mesh = this.addMesh(
        part,
        new MeshLambertMaterial({
          color: part.colour,
          transparent: part.opacity < 1,
          opacity: part.opacity,
          fog: false, // the haze hides where a floor ends, not what stands on it
          ...(skin && { side: DoubleSide }),
        }),
        skeleton,
      );
      const moves = part.body >= 0 || skin;
      if (height === undefined || !moves || part.opacity < leastShadow)
        return { part, mesh, skeleton };
      // flattened onto the ground; the stencil keeps it there, and overlaps from darkening twice
      const shadow = this.addMesh(
        part,
        new MeshBasicMaterial({
          color: 0x0c1218,
          transparent: true,
          opacity: this.shadow,
          depthWrite: false,
          stencilWrite: true,
          stencilRef: 1,
          stencilFunc: EqualStencilFunc,
          stencilZPass: IncrementStencilOp,
          side: DoubleSide,
        }),
        skeleton,
      );
      shadow.frustumCulled = false;
      shadow.renderOrder = -1;
      return { part, mesh, shadow, skeleton };
    });
  }

  // Its place in the world is set with each picture.
  private addMesh(part: Part, material: Material, skeleton?: Skeleton): Mesh {
    let mesh: Mesh;
    if (skeleton) {
      const skinned = new SkinnedMesh(part.geometry, material);
      skinned.bindMode = DetachedBindMode;
      skinned.bind(skeleton, new Matrix4());
      skinned.frustumCulled = false;
      mesh = skinned;
    } else {
      mesh = new Mesh(part.geometry, material);
    }
    mesh.matrixAutoUpdate = mesh.matrixWorldAutoUpdate = false;
    this.graph.add(mesh);
    return mesh;
  }

  private addFloor(floor: Floor, ground: boolean, square: number): { floor: Floor; mesh: Mesh } {
    const [width, depth] = floor.size.map((half) => 2 * half || floorSquares * square);
    const geometry = new PlaneGeometry(width, depth);
    const uv = geometry.getAttribute("uv") as BufferAttribute;
    for (let i = 0; i < uv.count; ++i) {
      uv.setXY(i, (uv.getX(i) * width!) / (2 * square), (uv.getY(i) * depth!) / (2 * square));
    }
    const [r, g, b, opacity] = floor.colour ?? [1, 1, 1, 1];
    const mesh = new Mesh(
      geometry,
      floor.colour
        ? new MeshLambertMaterial({ color: new Color(r, g, b), opacity, transparent: opacity < 1 })
        : new MeshBasicMaterial({ map: this.tiles }),
    );
    if (ground) {
      const material = mesh.material as Material;
      material.stencilWrite = true;
      material.stencilRef = 1;
      material.stencilFunc = AlwaysStencilFunc;
      material.stencilZPass = ReplaceStencilOp;
    }
    mesh.renderOrder = -2;
    mesh.matrixAutoUpdate = mesh.matrixWorldAutoUpdate = false;
    this.graph.add(mesh);
    return { floor, mesh };
  }

  // Puts everything where it is at a moment of a clip that is seen around `target`.
  private place(scene: Scene, clip: Poses, moment: number, target: Vector3): void {
    const poses = new Map<number, Matrix4>();
    const pose = (body: number) => {
      const known = poses.get(body) ?? poseOf(clip, body, moment, new Matrix4());
      poses.set(body, known);
      return known;
    };
    for (const { part, mesh, shadow, skeleton } of this.meshes) {
      if (skeleton) {
        mesh.matrixWorld.identity();
        skeleton.bones.forEach((bone, i) => {
          bone.matrixWorld.copy(pose(part.skin!.bodies[i]!));
        });
      } else {
        mesh.matrixWorld.multiplyMatrices(pose(part.body), part.local);
      }
      shadow?.matrixWorld.multiplyMatrices(this.flat, mesh.matrixWorld);
    }
    const step = 2 * squareOf(scene);
    for (const { floor, mesh } of this.floors) {
      floorMatrix(floor, clip, moment, mesh.matrixWorld);
      const seen = target.clone().applyMatrix4(mesh.matrixWorld.clone().invert());
      const [x, y] = floor.size.map((half, axis) =>
        half > 0 ? 0 : step * Math.round(seen.getComponent(axis) / step),
      );
      mesh.matrixWorld.multiply(new Matrix4().makeTranslation(x!, y!, 0));
    }
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
      const { eye, target } = aim(this.camera, drawing, clip, viewport);
      this.place(scene, clip, moment, target);
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
