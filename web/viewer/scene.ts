// What clips are drawn from: the geometry of a task, where its bodies are, and
// where the camera is.
import {
  type BufferGeometry,
  type Color,
  Matrix4,
  Mesh,
  type MeshStandardMaterial,
  Quaternion,
  SkinnedMesh,
  Vector3,
} from "three";
import { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";

// A clip, or an episode, as its bodies move.
export interface Poses {
  bodies: number;
  // (steps + 1) x bodies x 7: x y z, and a quaternion w x y z, in MuJoCo's world.
  poses: ArrayLike<number>;
}

export function stepsOf({ bodies, poses }: Poses): number {
  return bodies > 0 ? Math.max(0, poses.length / (7 * bodies) - 1) : 0;
}

// Camera and surroundings, as common/sim/mujoco/scene.h writes them.
export interface Look {
  floors: readonly Floor[];
  ground: number | null;
  camera: {
    track: number;
    distance: number;
    azimuth: number;
    elevation: number;
    height: number | null;
  };
}

export interface Floor {
  body: number;
  position: [number, number, number];
  rotation: [number, number, number, number];
  size: [number, number];
  colour?: [number, number, number, number];
}

// As older runs have them: the floor, if any, was at z = 0, and the body had a name.
interface OldLook {
  floor?: boolean;
  camera?: { track?: string };
}

// A geom in the frame of its body; or what several bodies move, in its own.
export interface Part {
  body: number; // -1: the world, which does not move
  geometry: BufferGeometry;
  colour: Color;
  opacity: number;
  local: Matrix4;
  // The bodies that move it, by whose weights, and where they were when it was made.
  skin?: { bodies: number[]; inverses: Matrix4[] };
}

export class Scene {
  private constructor(
    readonly parts: Part[],
    readonly bodies: number,
    readonly look: Look,
  ) {}

  // The height that shadows fall on and the eye stays above; three's, with y up.
  get groundHeight(): number | undefined {
    const { floors, ground } = this.look;
    return ground === null ? undefined : floors[ground]!.position[2];
  }

  static async parse(glb: ArrayBuffer): Promise<Scene> {
    const { scene } = await new GLTFLoader().parseAsync(glb, "");
    // bodies by their order: names may be any, and alike. The last is the world
    const nodes = [...scene.children[0]!.children];
    const bodies = nodes.length - 1;
    const bodyOf = (node: unknown) => {
      const body = (nodes as unknown[]).indexOf(node);
      return body < bodies ? body : -1;
    };
    const given = scene.userData as Partial<Look> & OldLook;
    const old = given.floors === undefined;
    const named = (node: { userData: { name?: string }; name: string }) =>
      (node.userData.name ?? node.name) === (given.camera?.track as unknown);
    const whole: Floor = { body: -1, position: [0, 0, 0], rotation: [0, 0, 0, 1], size: [0, 0] };
    const look: Look = {
      floors: given.floors ?? (given.floor === false ? [] : [whole]),
      ground: old ? (given.floor === false ? null : 0) : given.ground!,
      camera: {
        distance: 4,
        azimuth: 90,
        elevation: -10,
        height: null,
        ...given.camera,
        track: old ? Math.max(0, nodes.findIndex(named)) : given.camera!.track,
      },
    };
    const parts: Part[] = [];
    for (const node of nodes) {
      // as if the body was at the origin
      node.removeFromParent();
      node.position.set(0, 0, 0);
      node.quaternion.identity();
      node.updateMatrixWorld(true);
      node.traverse((child) => {
        if (!(child instanceof Mesh)) return;
        const material = child.material as MeshStandardMaterial;
        const geometry = child.geometry as BufferGeometry;
        if (!geometry.getAttribute("normal")) geometry.computeVertexNormals();
        const part: Part = {
          body: bodyOf(node),
          geometry,
          colour: material.color,
          opacity: material.opacity,
          local: child.matrixWorld.clone(),
        };
        if (child instanceof SkinnedMesh) {
          const { bones, boneInverses } = child.skeleton;
          part.skin = { bodies: bones.map(bodyOf), inverses: boneInverses };
        }
        parts.push(part);
      });
    }
    return new Scene(parts, bodies, look);
  }
}

// From MuJoCo's world, where z is up, to three's, where y is.
export const zUpToYUp = new Matrix4().makeRotationX(-Math.PI / 2);

const from = new Quaternion();
const to = new Quaternion();
const one = new Vector3(1, 1, 1);
const place = new Vector3();

// Where a body is at a moment between the first pose (0) and the last (steps):
// between two poses it moves evenly, after the last it stays. Fills `matrix`.
export function bodyMatrix(clip: Poses, body: number, moment: number, matrix: Matrix4): Matrix4 {
  const at = Math.min(Math.max(0, moment), stepsOf(clip));
  const first = Math.floor(at);
  const share = at - first;
  const p = clip.poses;
  const a = (first * clip.bodies + body) * 7;
  from.set(p[a + 4]!, p[a + 5]!, p[a + 6]!, p[a + 3]!);
  place.set(p[a]!, p[a + 1]!, p[a + 2]!);
  if (share > 0) {
    const b = a + clip.bodies * 7;
    to.set(p[b + 4]!, p[b + 5]!, p[b + 6]!, p[b + 3]!);
    from.slerp(to, share);
    place.set(
      place.x + share * (p[b]! - place.x),
      place.y + share * (p[b + 1]! - place.y),
      place.z + share * (p[b + 2]! - place.z),
    );
  }
  return matrix.compose(place, from, one).premultiply(zUpToYUp);
}

// The same for the world, which is body -1.
export function poseOf(clip: Poses, body: number, moment: number, matrix: Matrix4): Matrix4 {
  return body < 0 ? matrix.copy(zUpToYUp) : bodyMatrix(clip, body, moment, matrix);
}

// Where a plane's frame is, whose z axis is its normal.
export function floorMatrix(floor: Floor, clip: Poses, moment: number, matrix: Matrix4): Matrix4 {
  place.fromArray(floor.position);
  from.fromArray(floor.rotation);
  const local = new Matrix4().compose(place, from, one);
  return poseOf(clip, floor.body, moment, matrix).multiply(local);
}

// How far a person has turned the camera (degrees) and moved it away (a factor).
export interface Orbit {
  azimuth: number;
  elevation: number;
  zoom: number;
}

// Where drawing begins, and ends: metres before the eye.
export function nearOf({ look }: Scene): number {
  return look.camera.distance / 80;
}
export function farOf({ look }: Scene): number {
  return look.camera.distance * 50;
}

export interface View {
  eye: Vector3;
  target: Vector3;
  // Vertical, degrees.
  fov: number;
}

const degrees = Math.PI / 180;
const fieldOfView = 45; // MuJoCo's own

// Where the camera is at a moment: as MuJoCo's free camera with these angles, which
// follows the tracked body.
export function viewOf(
  scene: Scene,
  clip: Poses,
  moment: number,
  orbit: Orbit,
  aspect: number,
): View {
  const { camera } = scene.look;
  const body = new Vector3().setFromMatrixPosition(
    poseOf(clip, camera.track, moment, new Matrix4()),
  );
  const target = new Vector3(body.x, camera.height ?? body.y, body.z);
  const azimuth = (camera.azimuth + orbit.azimuth) * degrees;
  // nobody turns it far below the floor, but a task may have it there
  const highest = Math.max(15, camera.elevation);
  const elevation = Math.min(highest, Math.max(-89, camera.elevation + orbit.elevation)) * degrees;
  const eye = new Vector3(
    -Math.cos(elevation) * Math.cos(azimuth),
    -Math.sin(elevation),
    Math.cos(elevation) * Math.sin(azimuth),
  )
    .multiplyScalar(camera.distance * orbit.zoom)
    .add(target);
  const ground = scene.groundHeight;
  if (ground !== undefined) eye.y = Math.max(ground + nearOf(scene), eye.y);
  // a narrow picture shows as much from side to side as a square one
  const half = Math.tan((fieldOfView / 2) * degrees) / Math.min(1, aspect);
  return { eye, target, fov: (2 * Math.atan(half)) / degrees };
}

// Scenes by their hash, fetched once.
export class SceneCache {
  private readonly known = new Map<string, Promise<Scene>>();

  constructor(private readonly fetchScene: (hash: string) => Promise<ArrayBuffer>) {}

  get(hash: string): Promise<Scene> {
    let scene = this.known.get(hash);
    if (!scene) {
      scene = this.fetchScene(hash).then((glb) => Scene.parse(glb));
      scene.catch(() => this.known.delete(hash));
      this.known.set(hash, scene);
    }
    return scene;
  }
}
