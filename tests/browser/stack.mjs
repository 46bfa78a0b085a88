// Starts labeling_stack and talks with it; see labeling_stack.cc.
import { spawn } from "node:child_process";
import { dirname, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const build = resolve(root, process.env.BACKFLIP_BUILD ?? "build/release");

export class Stack {
  // How the broker's log ends.
  log = "";

  static async start() {
    const stack = new Stack();
    stack.process = spawn(`${build}/bin/labeling_stack`, [`--web=${build}/web`]);
    stack.process.stderr.setEncoding("utf8").on("data", (text) => {
      stack.log = (stack.log + text).slice(-4000);
      if (process.env.BACKFLIP_LOGS) process.stderr.write(text);
    });
    stack.ended = new Promise((resolve) => stack.process.once("exit", resolve));
    stack.answers = createInterface({ input: stack.process.stdout })[Symbol.asyncIterator]();
    Object.assign(stack, await stack.answer());
    return stack;
  }

  // An answer of labeling_stack; its libraries may say other things.
  async answer() {
    for (;;) {
      const { value, done } = await this.answers.next();
      if (done) throw new Error(`labeling_stack has ended:\n${this.log}`);
      if (value.startsWith("{")) return JSON.parse(value);
    }
  }

  // One after the other.
  command(line) {
    this.last = (this.last ?? Promise.resolve()).catch(() => {}).then(() => this.tell(line));
    return this.last;
  }

  async tell(line) {
    this.process.stdin.write(`${line.replaceAll("\n", " ")}\n`);
    const answer = await this.answer();
    if (answer.error) throw new Error(answer.error);
    return answer;
  }

  // A call of the operator over HTTP.
  async call(method, request) {
    const response = await fetch(`${this.url}/backflip.v1.${method}`, {
      method: "POST",
      headers: { Authorization: `Bearer ${this.operator}`, "Content-Type": "application/json" },
      body: JSON.stringify(request),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${method}: ${answer.message}`);
    return answer;
  }

  // A run of its own with a labeler who may answer for it alone.
  async people({ pairs = 12, width = 2, spec = "", invite = {} } = {}) {
    const { run, clips } = await this.command(`run ${pairs} ${width} ${spec}`);
    const name = invite.name ?? `ann-${run}`;
    const { secret } = await this.invite({ name, runIds: [run], ...invite });
    return { run, clips, name, secret };
  }

  async invite(request) {
    return this.call("PeopleService/Invite", {
      requestId: crypto.randomUUID().replaceAll("-", ""),
      role: "INVITE_LABELER",
      ...request,
    });
  }

  // The standing labels of the run, oldest first.
  async labels(run) {
    const { labels = [] } = await this.call("ReviewService/ListLabels", { runId: run, limit: 200 });
    return labels.sort((a, b) => Number(a.labelId) - Number(b.labelId));
  }

  async value(statement) {
    return (await this.command(`sql ${statement}`)).value;
  }

  async end() {
    this.process.stdin.end();
    await this.ended;
  }
}
