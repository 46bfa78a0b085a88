// What the pages' painter draws of a scene, in three colours: for silhouettes.mjs, in a browser.
import { Color, Matrix4, Vector3 } from "three";
import { poseOf, Scene, zUpToYUp } from "../../web/viewer/scene";
import { WebGlPainter } from "../../web/viewer/webgl_painter";

const style = document.documentElement.style;
style.setProperty("--sky", "#00f");
style.setProperty("--floor-1", "#0f0");
style.setProperty("--floor-2", "#0f0");
style.setProperty("--shadow", "0");
const painter = new WebGlPainter(true);

let scene: Scene;

// Takes the scene, and says which bodies its rigid parts hang on, and where, in MuJoCo's world.
async function show(glb: string, poses: number[]): Promise<number[][]> {
  const bytes = Uint8Array.from(atob(glb), (c) => c.charCodeAt(0));
  scene = await Scene.parse(bytes.buffer);
  const back = zUpToYUp.clone().invert();
  const places = scene.parts.flatMap(({ body, local, skin }) => {
    if (skin) return [];
    const clip = { bodies: scene.bodies, poses };
    const place = new Vector3().setFromMatrixPosition(
      back
        .clone()
        .multiply(poseOf(clip, body, 0, new Matrix4()))
        .multiply(local),
    );
    return [[body, place.x, place.y, place.z]];
  });
  for (const part of scene.parts) {
    part.colour = new Color(1, 0, 0);
    part.opacity = 1;
  }
  for (const floor of scene.look.floors) if (floor.colour) floor.colour = [0, 1, 0, 1];
  painter.setScene(scene);
  return places;
}

// What is in each pixel: "p" a part, "f" a floor, "." nothing. Rows from above.
function draw(poses: number[], width: number, height: number): string {
  painter.resize(width, height, 1);
  painter.paint({
    scene,
    clips: [{ bodies: scene.bodies, poses }],
    viewports: [{ x: 0, y: 0, width, height }],
    moment: 0,
    orbit: { azimuth: 0, elevation: 0, zoom: 1 },
  });
  const gl = painter.canvas.getContext("webgl2")!;
  const pixels = new Uint8Array(4 * width * height);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
  let seen = "";
  for (let y = height - 1; y >= 0; --y) {
    for (let x = 0; x < width; ++x) {
      const [r, g, b] = pixels.subarray(4 * (y * width + x));
      seen += r! > g! && r! > b! ? "p" : g! > b! ? "f" : ".";
    }
  }
  return seen;
}

Object.assign(window, { show, draw });
