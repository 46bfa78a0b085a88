// What is drawn of two clips: the same moment of both, from the same place.
// Read from what the page's own code hands to WebGL, picture by picture. The page is told that a
// picture comes every 60th of a second, however long it takes to draw one here.
import type { Page } from "@playwright/test";
import { expect, LabelingPage, type Person, test } from "./labeling_support";
import type { Stack } from "./stack.mjs";

// One picture: for each panel, from left to right, where each of its meshes is
// before the camera (modelViewMatrix, then the two scales of the
// projection), in the order in which they were drawn.
interface Picture {
  at: number;
  panels: number[][][];
}

declare global {
  interface Window {
    drawn: Picture[];
    // Pictures come so much later.
    slowMs: number;
  }
}

function recordPictures(): void {
  window.drawn = [];
  window.slowMs = 0;
  const gl = WebGL2RenderingContext.prototype;
  const names = new WeakMap<WebGLUniformLocation, { program: WebGLProgram; name: string }>();
  const matrices = new WeakMap<WebGLProgram, Record<string, number[]>>();
  let program: WebGLProgram | null = null;
  let left = 0;
  let panels: Map<number, number[][]> | undefined;
  const { getUniformLocation, uniformMatrix4fv, useProgram, viewport } = gl;
  gl.getUniformLocation = function (of, name) {
    const location = getUniformLocation.call(this, of, name);
    if (location) names.set(location, { program: of, name });
    return location;
  };
  gl.uniformMatrix4fv = function (location: WebGLUniformLocation | null, ...rest: any[]) {
    const known = location && names.get(location);
    if (known) {
      const values = matrices.get(known.program) ?? {};
      values[known.name] = Array.from(rest[1] as Float32Array);
      matrices.set(known.program, values);
    }
    (uniformMatrix4fv as any).call(this, location, ...rest);
  };
  gl.useProgram = function (used) {
    program = used;
    useProgram.call(this, used);
  };
  gl.viewport = function (x, ...rest) {
    left = x;
    viewport.call(this, x, ...rest);
  };
  for (const name of ["drawElements", "drawArrays"] as const) {
    const draw = gl[name] as (...parts: unknown[]) => void;
    (gl as any)[name] = function (...parts: unknown[]) {
      const { modelViewMatrix, projectionMatrix } = (program && matrices.get(program)) ?? {};
      if (panels && modelViewMatrix && projectionMatrix) {
        if (!panels.has(left)) panels.set(left, []);
        panels.get(left)!.push([...modelViewMatrix, projectionMatrix[0]!, projectionMatrix[5]!]);
      }
      draw.apply(this, parts);
    };
  }
  const request = requestAnimationFrame.bind(window);
  let now = performance.now();
  let frame = 0;
  window.requestAnimationFrame = (act) =>
    request((at) => {
      if (at !== frame) now += 1000 / 60 + window.slowMs;
      frame = at;
      panels = new Map();
      act(now);
      if (panels.size > 0) {
        const inOrder = [...panels].sort(([a], [b]) => a - b).map(([, meshes]) => meshes);
        window.drawn.push({ at: now, panels: inOrder });
      }
      panels = undefined;
    });
}

function difference(a: readonly number[], b: readonly number[]): number {
  return a.length === b.length
    ? Math.max(...a.map((value, i) => Math.abs(value - b[i]!)))
    : Infinity;
}

// To a millimetre: a clip that is one picture behind differs by more.
function same(a: readonly number[][], b: readonly number[][]): boolean {
  return a.length === b.length && a.every((mesh, i) => difference(mesh, b[i]!) < 1e-3);
}

async function take(page: Page): Promise<Picture[]> {
  return page.evaluate(() => window.drawn.splice(0));
}

const nothing = async () => {};

// A pair whose clips were recorded alike, so that both panels must be alike.
async function openTwins(page: Page, stack: Stack): Promise<void> {
  await page.addInitScript(recordPictures);
  const person: Person = await stack.people({ pairs: 0 });
  await stack.command(`twins ${person.run}`);
  await new LabelingPage(page).open(person);
  await expect.poll(() => page.evaluate(() => window.drawn.length)).toBeGreaterThan(0);
}

// Pictures that were drawn since something was begun; both panels of each alike.
async function alike(page: Page, act: () => Promise<unknown>, least: number): Promise<Picture[]> {
  await take(page);
  await act();
  await page.waitForFunction((count) => window.drawn.length >= count, least);
  const pictures = await take(page);
  for (const { panels } of pictures) {
    expect(panels).toHaveLength(2);
    expect(panels[0]!.length).toBeGreaterThan(4);
    expect(same(panels[0]!, panels[1]!)).toBe(true);
  }
  return pictures;
}

test("both clips show the same moment, however they are played", async ({ page, stack }) => {
  await openTwins(page, stack);
  const looping = await alike(page, nothing, 100);
  const moments = looping.filter(
    ({ panels }, i) => i === 0 || !same(panels[0]!, looping[i - 1]!.panels[0]!),
  );
  expect(moments.length).toBeGreaterThan(10); // it does move
  for (const key of ["]", "]", "[", "[", "["]) await alike(page, () => page.keyboard.press(key), 5);
  await page.keyboard.press("Space");
  for (const key of [",", ".", ".", ",", "."]) {
    const [step] = await alike(page, () => page.keyboard.press(key), 1);
    expect(step).toBeDefined();
  }
  await alike(page, () => page.keyboard.press("Space"), 5);
  // a machine that draws eight pictures a second
  await page.evaluate(() => (window.slowMs = 120));
  const slow = await alike(page, nothing, 15);
  expect(slow[slow.length - 1]!.at - slow[0]!.at).toBeGreaterThan(100 * (slow.length - 1));
  await page.evaluate(() => (window.slowMs = 0));
  await alike(page, () => page.keyboard.press("Shift+ArrowLeft"), 5);
});

test("the last pose is held for 0.2 s at any speed, then both begin again", async ({
  page,
  stack,
}) => {
  await openTwins(page, stack);
  await page.keyboard.press("Space");
  for (let i = 0; i < 60; ++i) await page.keyboard.press(",");
  // steps end where a clip ends, and go on at its first pose
  let first: number[][] | undefined, last: number[][] | undefined;
  for (let i = 0; i < 52; ++i) {
    const [picture] = await alike(page, () => page.keyboard.press("."), 1);
    if (i === 49) last = picture!.panels[0]!;
    if (i === 50) first = picture!.panels[0]!;
  }
  expect(same(first!, last!)).toBe(false);
  await page.keyboard.press("Space");
  for (const faster of [false, true]) {
    if (faster) for (let i = 0; i < 2; ++i) await page.keyboard.press("]");
    const pictures = await alike(page, nothing, 250);
    const holds = pictures.flatMap(({ at, panels }, i) => {
      const next = pictures[i + 1];
      return next && same(panels[0]!, last!) && same(next.panels[0]!, first!) ? [next.at - at] : [];
    });
    expect(holds.length).toBeGreaterThan(1);
    for (const ms of holds) {
      expect(ms).toBeGreaterThan(199);
      expect(ms).toBeLessThan(200 + 50); // a picture or two
    }
  }
});

test("one camera looks at both clips, and turns for both", async ({ page, stack }) => {
  await page.addInitScript(recordPictures);
  await new LabelingPage(page).open(await stack.people());
  // the floor comes first and lies still: how it is turned is how the camera is
  const floors = async (act: () => Promise<unknown>): Promise<number[]> => {
    await take(page);
    await act();
    const during = await take(page);
    await page.waitForFunction(() => window.drawn.length >= 3);
    const turned = [...during, ...(await take(page))].map(({ panels }) =>
      panels.map(([floor]) =>
        [floor!.slice(0, 3), floor!.slice(4, 7), floor!.slice(8, 11), floor!.slice(16)].flat(),
      ),
    );
    for (const [left, right] of turned) expect(difference(left!, right!)).toBeLessThan(1e-3);
    return turned.at(-1)![0]!;
  };
  const straight = await floors(nothing);
  const turned = await floors(async () => {
    const box = (await page.getByRole("img", { name: /Right clip/ }).boundingBox())!;
    await page.mouse.move(box.x + 100, box.y + 100);
    await page.mouse.down();
    await page.mouse.move(box.x + 220, box.y + 130, { steps: 4 });
    await page.mouse.up();
  });
  expect(difference(straight, turned)).toBeGreaterThan(0.1);
  expect(
    difference(
      straight,
      await floors(() => page.getByRole("button", { name: "Reset view" }).click()),
    ),
  ).toBeLessThan(1e-3);
});
