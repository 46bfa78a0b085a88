import assert from "node:assert/strict";
import { test } from "node:test";
import { ordinal, Ranking } from "./ranking";

function placed(...positions: number[]): Ranking {
  const ranking = new Ranking(4);
  for (const position of positions) ranking.place(position);
  return ranking;
}

test("clips get the next place in turn, and lose it when placed again", () => {
  const ranking = placed(2, 0);
  assert.deepEqual(ranking.groups, [[2], [0]]);
  ranking.place(2);
  assert.deepEqual(ranking.groups, [[0]]);
  assert.equal(ranking.rankOf(2), 0);
  ranking.place(9);
  assert.deepEqual(ranking.groups, [[0]]);
});

test("an order is complete when every clip has a place", () => {
  assert.ok(!placed(0, 1, 2).complete);
  assert.ok(placed(0, 1, 2, 3).complete);
});

test("the last two places become one, and what follows counts on", () => {
  const ranking = placed(2, 0);
  assert.deepEqual(ranking.tie(), [2, 0]);
  ranking.place(3);
  assert.deepEqual(ranking.groups, [[2, 0], [3]]);
  assert.deepEqual(
    [0, 2, 3].map((position) => ranking.rankOf(position)),
    [1, 1, 3],
  );
  assert.equal(placed(1).tie(), undefined);
});

test("places are taken back, the newest first", () => {
  const ranking = placed(2, 0, 1);
  ranking.tie();
  assert.equal(ranking.back(), 1);
  assert.equal(ranking.back(), 0);
  assert.deepEqual(ranking.groups, [[2]]);
  assert.equal(ranking.back(), 2);
  assert.equal(ranking.back(), undefined);
});

test("a clip moves before, after and into other places", () => {
  const ranking = placed(0, 1, 2);
  ranking.shift(2, -1, false);
  assert.deepEqual(ranking.groups, [[0], [2], [1]]);
  ranking.shift(2, -1, true);
  assert.deepEqual(ranking.groups, [[0, 2], [1]]);
  ranking.shift(2, 1, false);
  assert.deepEqual(ranking.groups, [[0], [2], [1]]);
  ranking.shift(0, 1, true);
  assert.deepEqual(ranking.groups, [[2, 0], [1]]);
  ranking.shift(3, 1, false); // without a place: the last one
  assert.deepEqual(ranking.groups, [[2, 0], [1], [3]]);
});

test("a clip is dropped into a gap, onto others, and out", () => {
  const ranking = placed(0, 1, 2);
  ranking.drop(2, 0);
  assert.deepEqual(ranking.groups, [[2], [0], [1]]);
  ranking.drop(1, 1);
  assert.deepEqual(ranking.groups, [[2, 1], [0]]);
  ranking.drop(3, 4);
  assert.deepEqual(ranking.groups, [[2, 1], [0], [3]]);
  ranking.drop(2, undefined);
  assert.deepEqual(ranking.groups, [[1], [0], [3]]);
  ranking.drop(1, 0); // where it was
  assert.deepEqual(ranking.groups, [[1], [0], [3]]);
  assert.equal(ranking.back(), 3);
});

test("ranks have names", () => {
  assert.deepEqual([1, 2, 3, 4, 11, 22].map(ordinal), [
    "best",
    "2nd",
    "3rd",
    "4th",
    "11th",
    "22nd",
  ]);
  assert.equal(placed(1).describe(1), "Clip 2 is best.");
  assert.equal(placed(1).describe(0), "Clip 1 has no place.");
});
