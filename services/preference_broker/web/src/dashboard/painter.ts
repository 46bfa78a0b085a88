// Draws moments of clips into canvases of the page, all with one WebGL
// context: a browser gives a page only a few.
import {
  AmbientLight,
  CanvasTexture,
  Color,
  DirectionalLight,
  Mesh,
  MeshStandardMaterial,
  type Object3D,
  PerspectiveCamera,
  PlaneGeometry,
  RepeatWrapping,
  Scene,
  SRGBColorSpace,
  Vector3,
  WebGLRenderer,
} from "three";
import { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";
import type { Poses } from "./model";
import type { Orbit, Painter } from "./player";

// As common/sim/scene.h writes it.
interface Look {
  floor: boolean;
  camera: {
    track: string;
    distance: number;
    azimuth: number;
    elevation: number;
    height: number | null;
  };
  radius: number;
}

interface Stage {
  scene: Scene;
  // In the order of Poses.
  bodies: Object3D[];
  tracked: number;
  look: Look;
  floor?: Mesh;
}

const fieldOfView = 45;  // MuJoCo's default
const degrees = Math.PI / 180;
// A square of the floor, metres.
const tile = 1;
const floorTiles = 80;

export function makePainter(fetchScene: (hash: string) => Promise<ArrayBuffer>): Painter {
  try {
    return new WebGlPainter(fetchScene);
  } catch {
    return new StickPainter();
  }
}

function css(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function sizeOf(canvas: HTMLCanvasElement): [number, number] {
  const ratio = Math.min(2, devicePixelRatio);
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  const height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  return [width, height];
}

class WebGlPainter implements Painter {
  onChange = () => {};
  private readonly renderer = new WebGLRenderer({ antialias: true });
  private readonly camera = new PerspectiveCamera(fieldOfView, 1, 0.02, 200);
  private readonly stages = new Map<string, Stage | "loading">();
  private readonly background = new Color();

  constructor(private readonly fetchScene: (hash: string) => Promise<ArrayBuffer>) {
    this.renderer.setPixelRatio(1);
    this.renderer.setSize(1, 1, false);
    this.takeColours();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.takeColours();
      this.onChange();
    });
    this.renderer.domElement.addEventListener("webglcontextrestored", () => this.onChange());
  }

  paint(canvas: HTMLCanvasElement, hash: string, poses: Poses, moment: number, orbit: Orbit): void {
    const stage = this.stages.get(hash);
    if (!stage) void this.load(hash);
    if (!stage || stage === "loading" || this.renderer.getContext().isContextLost()) return;
    const [width, height] = sizeOf(canvas);
    const buffer = this.renderer.domElement;
    if (buffer.width < width || buffer.height < height) {
      this.renderer.setSize(Math.max(buffer.width, width), Math.max(buffer.height, height), false);
    }
    pose(stage, poses, moment);
    this.aim(stage, poses, moment, orbit, width / height);
    this.renderer.setViewport(0, 0, width, height);
    this.renderer.setScissor(0, 0, width, height);
    this.renderer.setScissorTest(true);
    this.renderer.render(stage.scene, this.camera);
    const context = canvas.getContext("2d")!;
    context.drawImage(buffer, 0, buffer.height - height, width, height, 0, 0, width, height);
  }

  private takeColours(): void {
    this.background.set(css("--stage"));
  }

  private async load(hash: string): Promise<void> {
    this.stages.set(hash, "loading");
    try {
      const bytes = await this.fetchScene(hash);
      const gltf = await new GLTFLoader().parseAsync(bytes, "");
      this.stages.set(hash, this.setUp(gltf.scene));
      this.onChange();
    } catch {
      // asked again with the next picture, in a while
      setTimeout(() => {
        this.stages.delete(hash);
        this.onChange();
      }, 5000);
    }
  }

  private setUp(loaded: Object3D): Stage {
    const look = loaded.userData as Look;
    const root = loaded.children[0]!;
    const bodies = root.children.filter((node) => node.name !== "world");
    const tracked = bodies.findIndex(
      (body) => (body.userData["name"] ?? body.name) === look.camera.track,
    );
    const scene = new Scene();
    scene.background = this.background;
    scene.add(loaded, new AmbientLight(0xffffff, 1.1));
    const sun = new DirectionalLight(0xffffff, 2.2);
    sun.position.set(-2, 6, 3);
    scene.add(sun);
    const stage: Stage = { scene, bodies, tracked: Math.max(0, tracked), look };
    if (look.floor) {
      stage.floor = makeFloor();
      scene.add(stage.floor);
    }
    return stage;
  }

  // MuJoCo's tracking camera: it looks along (cos e cos a, cos e sin a, sin e).
  private aim(stage: Stage, poses: Poses, moment: number, orbit: Orbit, aspect: number): void {
    const { track: _, ...camera } = stage.look.camera;
    const at = (moment * poses.bodies + stage.tracked) * 7;
    const centre = toGl(poses.poses[at]!, poses.poses[at + 1]!, camera.height ?? poses.poses[at + 2]!);
    const azimuth = (camera.azimuth + orbit.azimuth) * degrees;
    const elevation = Math.min(-1, Math.max(-89, camera.elevation + orbit.elevation)) * degrees;
    // seen whole on narrow canvases too
    const distance = camera.distance * orbit.zoom * Math.max(1, 1.2 / aspect);
    const away = toGl(
      -Math.cos(elevation) * Math.cos(azimuth),
      -Math.cos(elevation) * Math.sin(azimuth),
      -Math.sin(elevation),
    );
    this.camera.aspect = aspect;
    this.camera.position.copy(centre).addScaledVector(away, distance);
    this.camera.lookAt(centre);
    this.camera.updateProjectionMatrix();
    if (stage.floor) {
      // moves under the camera by whole tiles, so that it has no end
      stage.floor.position.x = Math.round(centre.x / (2 * tile)) * 2 * tile;
      stage.floor.position.z = Math.round(centre.z / (2 * tile)) * 2 * tile;
    }
  }
}

// MuJoCo's z up to glTF's y up.
function toGl(x: number, y: number, z: number): Vector3 {
  return new Vector3(x, z, -y);
}

function pose(stage: Stage, poses: Poses, moment: number): void {
  stage.bodies.forEach((body, i) => {
    if (i >= poses.bodies) return;
    const p = poses.poses.subarray((moment * poses.bodies + i) * 7);
    body.position.set(p[0]!, p[1]!, p[2]!);
    body.quaternion.set(p[4]!, p[5]!, p[6]!, p[3]!);
  });
}

function makeFloor(): Mesh {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 64;
  const context = canvas.getContext("2d")!;
  for (const [x, y] of [[0, 0], [0, 1], [1, 0], [1, 1]] as const) {
    context.fillStyle = (x + y) % 2 === 0 ? "#ccd4dc" : "#b3bdc7";
    context.fillRect(32 * x, 32 * y, 32, 32);
  }
  const texture = new CanvasTexture(canvas);
  texture.colorSpace = SRGBColorSpace;
  texture.wrapS = texture.wrapT = RepeatWrapping;
  texture.repeat.set(floorTiles / 2, floorTiles / 2);
  texture.anisotropy = 4;
  const floor = new Mesh(
    new PlaneGeometry(floorTiles * tile, floorTiles * tile),
    new MeshStandardMaterial({ map: texture, roughness: 1 }),
  );
  floor.rotation.x = -Math.PI / 2;
  return floor;
}

// Where there is no WebGL: the bodies as a chain of dots, from the side.
class StickPainter implements Painter {
  onChange = () => {};

  paint(canvas: HTMLCanvasElement, _hash: string, poses: Poses, moment: number): void {
    const [width, height] = sizeOf(canvas);
    const context = canvas.getContext("2d")!;
    const scale = height / 3.2;
    const ground = 0.92 * height;
    const at = (body: number) => {
      const p = (moment * poses.bodies + body) * 7;
      const centre = moment * poses.bodies * 7;
      return [
        width / 2 + (poses.poses[p]! - poses.poses[centre]!) * scale,
        ground - poses.poses[p + 2]! * scale,
      ] as const;
    };
    context.clearRect(0, 0, width, height);
    context.fillStyle = css("--ink-soft");
    context.fillRect(0, ground, width, 2);
    context.strokeStyle = context.fillStyle = css("--series-1");
    context.lineWidth = height / 40;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    for (let body = 0; body < poses.bodies; ++body) context.lineTo(...at(body));
    context.stroke();
    for (let body = 0; body < poses.bodies; ++body) {
      context.beginPath();
      context.arc(...at(body), height / 28, 0, 2 * Math.PI);
      context.fill();
    }
  }
}
