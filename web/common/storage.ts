// The names under which the pages keep things in the browser.
export const keys = {
  // In localStorage, for all tabs. And the page's name.
  visitor: "backflip.visitor.",
  speed: "backflip.speed",
  // And the key of an answer that has not been acknowledged.
  unsent: "backflip.unsent.",
  // In sessionStorage, for one tab.
  tab: "backflip.tab",
  // And what is kept.
  kept: "backflip.kept.",
} as const;
