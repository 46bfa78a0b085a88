// Draws moments of clips into canvases of the page, all with one WebGL
// context: a browser gives a page only a few.
import {
  AmbientLight,
  CanvasTexture,
  Color,
  DirectionalLight,
  Fog,
  Mesh,
  MeshLambertMaterial,
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
import type { Orbit, Painter, Picture } from "./player";

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
// Of the buffer that all pictures are drawn into, pixels.
const bufferWidth = 2048;

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

// Gives the canvas as many pixels as it shows.
function fit(canvas: HTMLCanvasElement, ratio: number): { width: number; height: number } {
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  const height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  return { width, height };
}

// Whether a program draws instead of a graphics processor: then smooth edges
// cost more than they give.
function drawnBySoftware(): boolean {
  const context = document.createElement("canvas").getContext("webgl2");
  if (!context) throw new Error("no WebGL");
  const name = context.getParameter(context.RENDERER) as string;
  context.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|software/i.test(name);
}

// All pictures of a frame are drawn beside each other in one buffer and copied
// out of it: every copy from a buffer that has been drawn into again would wait
// for the graphics processor.
class WebGlPainter implements Painter {
  onChange = () => {};
  private readonly software = drawnBySoftware();
  private readonly renderer = new WebGLRenderer({ antialias: !this.software });
  private readonly camera = new PerspectiveCamera(fieldOfView, 1, 0.02, 200);
  private readonly stages = new Map<string, Stage | "loading">();
  private readonly sticks = new StickPainter();
  private readonly background = new Color();
  private readonly floorColour = new Color();

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

  paint(pictures: readonly Picture[]): void {
    if (this.renderer.getContext().isContextLost()) return;
    // a run from before there were scenes has none
    this.sticks.paint(pictures.filter(({ scene }) => scene === ""));
    const ready = pictures.flatMap((picture) => {
      if (picture.scene === "") return [];
      const stage = this.stages.get(picture.scene);
      if (!stage) void this.load(picture.scene);
      return stage && stage !== "loading" ? [{ ...picture, stage, ...this.sizeOf(picture.canvas) }] : [];
    });
    if (ready.length === 0) return;
    // rows of pictures
    const places: { x: number; y: number }[] = [];
    let x = 0, y = 0, row = 0, widest = 0;
    for (const { width, height } of ready) {
      if (x > 0 && x + width > bufferWidth) {
        y += row;
        x = row = 0;
      }
      places.push({ x, y });
      x += width;
      row = Math.max(row, height);
      widest = Math.max(widest, x);
    }
    const buffer = this.renderer.domElement;
    if (buffer.width < widest || buffer.height < y + row) {
      this.renderer.setSize(Math.max(buffer.width, widest), Math.max(buffer.height, y + row), false);
    }
    this.renderer.setScissorTest(true); // a restored context has forgotten it
    ready.forEach(({ stage, poses, moment, orbit, width, height }, i) => {
      pose(stage, poses, moment);
      this.aim(stage, poses, moment, orbit, width / height);
      const bottom = buffer.height - places[i]!.y - height;
      this.renderer.setViewport(places[i]!.x, bottom, width, height);
      this.renderer.setScissor(places[i]!.x, bottom, width, height);
      this.renderer.render(stage.scene, this.camera);
    });
    ready.forEach(({ canvas, width, height }, i) => {
      const { x, y } = places[i]!;
      canvas.getContext("2d")!.drawImage(buffer, x, y, width, height, 0, 0, width, height);
    });
  }

  private sizeOf(canvas: HTMLCanvasElement): { width: number; height: number } {
    return fit(canvas, this.software ? 1 : Math.min(2, devicePixelRatio));
  }

  private takeColours(): void {
    this.background.set(css("--stage"));
    this.floorColour.set(css("--floor"));
    for (const stage of this.stages.values()) {
      if (stage !== "loading") this.colour(stage);
    }
  }

  private colour(stage: Stage): void {
    stage.scene.background = this.background;
    stage.scene.fog = new Fog(this.background, 8, 40);
    (stage.floor?.material as MeshLambertMaterial | undefined)?.color.copy(this.floorColour);
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
    if (this.software) {
      loaded.traverse((node) => {
        if (node instanceof Mesh) node.material = new MeshLambertMaterial({ color: node.material.color });
      });
    }
    const scene = new Scene();
    scene.add(loaded, new AmbientLight(0xffffff, 1.1));
    const sun = new DirectionalLight(0xffffff, 2.2);
    sun.position.set(-2, 6, 3);
    scene.add(sun);
    const stage: Stage = { scene, bodies, tracked: Math.max(0, tracked), look };
    if (look.floor) {
      stage.floor = makeFloor(this.software ? 1 : 4);
      scene.add(stage.floor);
    }
    this.colour(stage);
    return stage;
  }

  // MuJoCo's tracking camera: it looks along (cos e cos a, cos e sin a, sin e).
  private aim(stage: Stage, poses: Poses, moment: number, orbit: Orbit, aspect: number): void {
    const { camera } = stage.look;
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

function makeFloor(anisotropy: number): Mesh {
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
  texture.anisotropy = anisotropy;
  const floor = new Mesh(
    new PlaneGeometry(floorTiles * tile, floorTiles * tile),
    new MeshLambertMaterial({ map: texture }),
  );
  floor.rotation.x = -Math.PI / 2;
  return floor;
}

// Where there is no WebGL: the bodies as a chain of dots, from the side.
class StickPainter implements Painter {
  onChange = () => {};

  paint(pictures: readonly Picture[]): void {
    for (const picture of pictures) this.draw(picture);
  }

  private draw({ canvas, poses, moment }: Picture): void {
    const { width, height } = fit(canvas, Math.min(2, devicePixelRatio));
    const context = canvas.getContext("2d")!;
    const scale = height / 3.2;
    const ground = 0.92 * height;
    const first = moment * poses.bodies * 7;
    const at = (body: number) => {
      const p = first + body * 7;
      return [
        width / 2 + (poses.poses[p]! - poses.poses[first]!) * scale,
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
