// Sends a labeler on to the platform that they came from, after the completion code: by a link, and
// by itself unless they want to stay.
import { button, h, setText } from "../common/dom";

const secondsToRead = 10;

export class Departure {
  readonly element: HTMLElement;
  private left = secondsToRead;

  // `ready`: nothing is lost when the page goes. `url`: https.
  constructor(url: string, ready: () => boolean) {
    const { host } = new URL(url);
    const words = h("p");
    const say = () => setText(words, `You go on to ${host} in ${this.left} seconds.`);
    const timer = setInterval(() => {
      this.left = Math.max(0, this.left - 1);
      say();
      if (this.left > 0 || !ready()) return;
      clearInterval(timer);
      location.assign(url);
    }, 1_000);
    const stay = button("Stay here", () => {
      clearInterval(timer);
      words.remove();
      stay.remove();
    });
    this.element = h(
      "div",
      { class: "departure" },
      words,
      h("a", { href: url, class: "words" }, `Go on to ${host}`),
      stay,
    );
    say();
  }
}
