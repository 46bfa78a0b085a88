// Calls `act` before each picture of the screen, with the seconds since the last
// one: at most a quarter, so that a page that comes back jumps no further.
export function eachFrame(act: (elapsed: number) => void): void {
  let last = performance.now();
  const frame = (now: number) => {
    act(Math.min(0.25, Math.max(0, now - last) / 1000));
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}
