// What to make of a call that failed, and when to try it again.
import { Code, ConnectError } from "@connectrpc/connect";

// A call that takes longer is tried again.
export const callMs = 20_000;

export function within(ms = callMs): { signal: AbortSignal } {
  return { signal: AbortSignal.timeout(ms) };
}

// The same request will never be answered otherwise. Everything else may pass: a
// lost connection, a broker that starts again, too many calls.
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

// The server answered, and cannot do so much, or cannot now.
export function isBusy(failure: unknown): boolean {
  return failure instanceof ConnectError && failure.code === Code.ResourceExhausted;
}

// The token is no longer accepted.
export function isSignedOut(failure: unknown): boolean {
  return failure instanceof ConnectError && failure.code === Code.Unauthenticated;
}

// The labeler is paused, and no answer is taken.
export function isPause(failure: unknown): boolean {
  return (
    failure instanceof ConnectError &&
    failure.code === Code.PermissionDenied &&
    /^you are paused/i.test(failure.rawMessage)
  );
}

// A sentence for people. An error of the page's own is one.
export function sentence(failure: unknown): string {
  if (failure instanceof Error && !(failure instanceof ConnectError) && failure.name === "Error")
    return failure.message;
  if (!isFinal(failure) && !isBusy(failure))
    return "The server does not answer. Is there a connection?";
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
