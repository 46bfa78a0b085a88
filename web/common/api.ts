// The broker's services as the pages call them: the Connect protocol, with binary
// messages where poses are in them, since those are many numbers.
import type { DescService } from "@bufbuild/protobuf";
import {
  Code,
  type Client,
  ConnectError,
  createClient,
  type Interceptor,
} from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { LabelingService } from "backflip/v1/label_pb";
import { PeopleService } from "backflip/v1/people_pb";
import { token } from "./session";

// Told of each call whose token is no longer accepted.
export const access = { ended: () => {} };

const authorize: Interceptor = (next) => async (request) => {
  const secret = token();
  if (secret) request.header.set("Authorization", `Bearer ${secret}`);
  try {
    return await next(request);
  } catch (failure) {
    if (secret && isSignedOut(failure)) access.ended();
    throw failure;
  }
};
const transport = (useBinaryFormat: boolean) =>
  createConnectTransport({ baseUrl: location.origin, useBinaryFormat, interceptors: [authorize] });

export function jsonClient<T extends DescService>(service: T): Client<T> {
  return createClient(service, transport(false));
}

export const labeling = createClient(LabelingService, transport(true));
export const people = jsonClient(PeopleService);

// A call that takes longer is tried again.
export const callMs = 20_000;

export function within(ms = callMs): { signal: AbortSignal } {
  return { signal: AbortSignal.timeout(ms) };
}

// The same request will never be answered otherwise. Everything else may pass:
// a lost connection, a broker that starts again, too many calls.
const final = new Set([
  Code.InvalidArgument,
  Code.NotFound,
  Code.AlreadyExists,
  Code.PermissionDenied,
  Code.FailedPrecondition,
  Code.OutOfRange,
  Code.Unimplemented,
  Code.Unauthenticated,
]);

export function isFinal(failure: unknown): boolean {
  return failure instanceof ConnectError && final.has(failure.code);
}

// The token is no longer accepted.
export function isSignedOut(failure: unknown): boolean {
  return failure instanceof ConnectError && failure.code === Code.Unauthenticated;
}

// What a person can read of it. An error of the page's own is a sentence.
export function sentence(failure: unknown): string {
  if (failure instanceof Error && !(failure instanceof ConnectError) && failure.name === "Error")
    return failure.message;
  if (!isFinal(failure)) return "The server does not answer. Is there a connection?";
  const text = (failure as ConnectError).rawMessage;
  return text
    ? text[0]!.toUpperCase() + text.slice(1) + (/[.?!]$/.test(text) ? "" : ".")
    : "The server refused.";
}

// Doubles from half a second to fifteen, with a random part so that many pages
// do not come back at once; ends early when the browser says it is online.
export class Backoff {
  private tries = 0;

  reset(): void {
    this.tries = 0;
  }

  async wait(): Promise<void> {
    const ms = Math.min(15_000, 500 * 2 ** this.tries++) * (0.75 + 0.5 * Math.random());
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        removeEventListener("online", end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      addEventListener("online", end);
    });
  }
}

export async function fetchScene(hash: string): Promise<ArrayBuffer> {
  const answer = await fetch(`/scenes/${encodeURIComponent(hash)}.glb`, {
    headers: { Authorization: `Bearer ${token() ?? ""}` },
    ...within(60_000),
  });
  if (!answer.ok) throw new Error(`the scene of the clips could not be fetched (${answer.status})`);
  return answer.arrayBuffer();
}
