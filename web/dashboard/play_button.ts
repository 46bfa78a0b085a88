import { button, setText } from "../common/dom";
import type { Player } from "../viewer/player";

// A button that plays and pauses `what`.
export function playButton(player: Player, what: string): HTMLButtonElement {
  const made = button("", () => player.toggle(), { class: "small" });
  const update = () => {
    const verb = player.playing ? "Pause" : "Play";
    setText(made, verb);
    made.setAttribute("aria-label", `${verb} ${what}`);
  };
  player.addEventListener("change", update);
  update();
  return made;
}
