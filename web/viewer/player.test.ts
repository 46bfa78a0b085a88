import assert from "node:assert/strict";
import { test } from "node:test";
import { Player } from "./player";

function loaded(steps = 30, fps = 30): Player {
  const player = new Player();
  player.load(steps, fps);
  return player;
}

test("the last pose is held for 0.2 s at any speed, then the clips begin again", () => {
  for (const speed of [0.25, 1, 2]) {
    const player = loaded();
    player.speed = speed;
    player.tick(1 / speed);
    assert.equal(player.moment, 30);
    player.tick(0.19);
    assert.equal(player.moment, 30);
    player.tick(0.02);
    assert.equal(player.moment, 0);
    assert.equal(player.loops, 1);
  }
});

test("the end is told once, when every clip was played to it", () => {
  const player = loaded();
  let ends = 0;
  player.addEventListener("end", () => ++ends);
  player.tick(0.5);
  assert.equal(player.left, 0.5);
  assert.ok(!player.playedOnce);
  for (let i = 0; i < 30; ++i) player.tick(0.1);
  assert.ok(player.playedOnce);
  assert.equal(player.left, 0);
  assert.equal(ends, 1);
});

test("a step stops the clips; back from the first pose goes nowhere, on from the last begins again", () => {
  const player = loaded();
  player.move(-1);
  assert.ok(!player.playing);
  assert.equal(player.step, 0);
  assert.ok(!player.playedOnce);
  for (let i = 0; i < 30; ++i) player.move(1);
  assert.equal(player.step, 30);
  assert.ok(player.playedOnce);
  player.move(1);
  assert.equal(player.step, 0);
});

test("no time passes while it is paused", () => {
  const player = loaded();
  player.playing = false;
  player.tick(0.5);
  assert.equal(player.moment, 0);
});

test("each step is told, wherever it comes from", () => {
  const player = loaded();
  const steps: number[] = [];
  player.addEventListener("step", () => steps.push(player.step));
  player.tick(0.05);
  player.tick(0.01);
  player.seek(12);
  player.seek(99);
  assert.deepEqual(steps, [1, 12, 30]);
});

test("the camera turns within bounds and straight again", () => {
  const player = loaded();
  player.turn(400, 100);
  assert.deepEqual(player.orbit, { azimuth: 400, elevation: 60, zoom: 1 });
  player.turn(0, -300);
  assert.equal(player.orbit.elevation, -80);
  player.zoom(100);
  assert.equal(player.orbit.zoom, 3);
  assert.ok(player.turned);
  player.resetView();
  assert.ok(!player.turned);
});
