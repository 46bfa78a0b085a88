import assert from "node:assert/strict";
import { test } from "node:test";
import { linkParameter, participantOf } from "./participant";

const secret = "a-secret_of-base64url";
const idOf = (search: string, hash: string) => participantOf({ search, hash }).id;

test("a participant's id is found wherever the platform has put it", () => {
  const links: [string, string][] = [
    ["?PROLIFIC_PID=abc&STUDY_ID=d&SESSION_ID=e", `#invite=${secret}`],
    ["", `#invite=${secret}?PROLIFIC_PID=abc&STUDY_ID=d&SESSION_ID=e`],
    ["", `#invite=${secret}&PROLIFIC_PID=abc`],
    ["", `#invite=${secret}#?prolific_pid=abc`],
    ["?assignmentId=x&hitId=y&workerId=abc", `#invite=${secret}`],
    ["", `#invite=${secret}?worker_id=abc&assignment_id=x`],
    ["?participantId=abc", `#invite=${secret}`],
    ["?participant=%20abc", `#invite=${secret}`],
    ["?PROLIFIC_PID=&PROLIFIC_PID=abc", `#invite=${secret}&PROLIFIC_PID=abc`],
    // the template is in the link, and the platform adds what it stands for
    ["?PROLIFIC_PID={{%PROLIFIC_PID%}}&PROLIFIC_PID=abc", `#invite=${secret}`],
    ["", `#invite=${secret}%3FPROLIFIC_PID%3Dabc%26STUDY_ID%3Dd`],
    ["", `#invite=${secret}%3fSTUDY_ID=d&PROLIFIC_PID=abc`],
    ["?STUDY_ID=d&amp;PROLIFIC_PID=abc&amp;SESSION_ID=e", `#invite=${secret}`],
    ["", `#invite=${secret}&amp;workerId=abc`],
    // encoded whole, in part, or several times
    ["?PROLIFIC_PID=abc", `#invite%3D${secret}`],
    ["", `#invite%3D${secret}&PROLIFIC_PID=abc`],
    ["?PROLIFIC_PID=abc", `#INVITE=${secret}`],
    [`?PROLIFIC_PID=abc&invite=${secret}`, ""],
    ["", `#invite=${secret}%26PROLIFIC_PID%3Dabc`],
    ["?STUDY_ID=d%26PROLIFIC_PID%3Dabc", `#invite=${secret}`],
    ["", `#invite=${secret}%253FPROLIFIC_PID%253Dabc%2526STUDY_ID%253Dd`],
    ["", `#%23invite%3D${secret}%3FPROLIFIC_PID%3Dabc`],
    // signs that nobody sees
    ["?PROLIFIC_PID=%E2%80%8Babc%E2%80%8E", `#invite=${secret}`],
  ];
  for (const [search, hash] of links) {
    assert.equal(idOf(search, hash), "abc", search + hash);
    const invite = linkParameter({ search, hash }, "invite");
    assert.match(invite!, new RegExp(`^${secret}`), search + hash);
  }
  assert.equal(idOf("?STUDY_ID=d", `#invite=${secret}&run=1`), "");
  assert.equal(idOf("?workerId=a%26b", `#invite=${secret}`), "a&b");
  assert.equal(idOf("", `#invite=${secret}%3F%E0%A4%A`), "", "no encoding at all");
});

test("what a platform has not filled in is no id that is made up", () => {
  const search = "?PROLIFIC_PID={{%PROLIFIC_PID%}}";
  assert.equal(idOf(search, `#invite=${secret}`), "{{%PROLIFIC_PID%}}");
});

test("MTurk's preview is told from a task that was accepted", () => {
  const preview = (search: string) => participantOf({ search, hash: `#invite=${secret}` }).preview;
  assert.equal(preview("?assignmentId=ASSIGNMENT_ID_NOT_AVAILABLE&hitId=y"), true);
  assert.equal(preview("?assignmentId=x&hitId=y&workerId=abc"), false);
});
