// Turns the camera of a player by dragging, by two fingers, and straight again by
// a double click.
import type { Player } from "./player";

export function turnByDragging(element: HTMLElement, player: Player): void {
  const fingers = new Map<number, { x: number; y: number }>();
  const spread = () => {
    const [a, b] = [...fingers.values()];
    return a && b ? Math.hypot(a.x - b.x, a.y - b.y) : 0;
  };
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || (event.target as Element).closest("button, input, a")) return;
    element.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  element.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const wide = spread();
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (fingers.size >= 2) {
      if (wide > 0) player.zoom(wide / Math.max(1, spread()));
    } else {
      player.turn((before.x - event.clientX) * 0.4, (before.y - event.clientY) * 0.3);
    }
  });
  const end = (event: PointerEvent) => fingers.delete(event.pointerId);
  element.addEventListener("pointerup", end);
  element.addEventListener("pointercancel", end);
  element.addEventListener("dblclick", () => player.resetView());
}
