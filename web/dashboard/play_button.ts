import { h, setText } from "../common/dom";
import type { Player } from "../viewer/player";

// A button that plays and pauses `what`.
export function playButton(player: Player, what: string): HTMLButtonElement {
  const button = h("button", {
    type: "button",
    class: "small",
    click: () => {
      player.playing = !player.playing;
    },
  });
  const update = () => {
    const verb = player.playing ? "Pause" : "Play";
    setText(button, verb);
    button.setAttribute("aria-label", `${verb} ${what}`);
  };
  player.addEventListener("change", update);
  update();
  return button;
}
