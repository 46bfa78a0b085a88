import "../test_browser";
import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { BrokerClient } from "./client";

// Answers calls by their method, in the JSON of backflip.v1.
function serve(answers: Record<string, object>): { method: string; request: unknown }[] {
  const calls: { method: string; request: unknown }[] = [];
  mock.method(globalThis, "fetch", async (url: string, init: RequestInit) => {
    const method = url.slice(url.lastIndexOf("/") + 1);
    const body = init.body as Uint8Array | string;
    const text = typeof body === "string" ? body : new TextDecoder().decode(body);
    calls.push({ method, request: JSON.parse(text) });
    return new Response(JSON.stringify(answers[method] ?? {}), {
      headers: { "Content-Type": "application/json" },
    });
  });
  return calls;
}

afterEach(() => mock.restoreAll());

test("a run is shown with numbers as numbers and names as the page has them", async () => {
  serve({
    List: {
      runs: [
        {
          id: "12",
          state: "RUNNING",
          limit: "LIMIT_LABELS",
          steps: "1204224",
          spec: { seed: "4", steps: "3000000", labels: "900" },
          task: { name: "hopper_backflip", metrics: ["turns"], playbackFps: 60 },
          metrics: { turns: 1.5 },
        },
      ],
    },
  });
  const [run] = await new BrokerClient().listRuns();
  assert.ok(run);
  assert.deepEqual(
    [run.id, run.state, run.limit, run.steps, run.labelBudget, run.playbackFps],
    [12, "RUNNING", "LABELS", 1_204_224, 900, 60],
  );
  assert.equal(run.metrics.get("turns"), 1.5);
  assert.equal(run.learned, true);
});

test("fields that are not set are undefined, not zero", async () => {
  serve({ ListLabelers: { labelers: [{ id: "3", name: "ann", state: "LABELER_PAUSED" }] } });
  const [ann] = await new BrokerClient().listLabelers(1);
  assert.equal(ann?.state, "LABELER_PAUSED");
  assert.equal(ann?.goldScore, undefined);
});

test("answers of every kind come with their words", async () => {
  serve({
    ListLabels: {
      labels: [
        { labelId: "7", answer: { choice: "TIE" }, expected: { choice: "LEFT" }, purpose: "GOLD" },
        { labelId: "8", answer: { ranking: { groups: [{ positions: [1] }, { positions: [0] }] } } },
      ],
      more: true,
    },
  });
  const { labels, more } = await new BrokerClient().listLabels(1, {
    labeler: "",
    questionId: 0,
    withNote: false,
    superseded: false,
    beforeLabelId: 0,
  });
  assert.deepEqual(labels[0]?.answer, { choice: "TIE" });
  assert.deepEqual(labels[0]?.expected, { choice: "LEFT" });
  assert.equal(labels[0]?.purpose, "GOLD");
  assert.deepEqual(labels[1]?.answer, { ranking: [[1], [0]] });
  assert.equal(more, true);
});

test("a clip is fetched once", async () => {
  const calls = serve({ GetClips: { clips: [{ clipId: "a", poses: { bodies: 1, poses: [1] } }] } });
  const client = new BrokerClient();
  await client.clips(1, ["a"]);
  const [clip] = await client.clips(1, ["a"]);
  assert.deepEqual(clip?.poses.poses, Float32Array.of(1));
  assert.equal(calls.length, 1);
});
