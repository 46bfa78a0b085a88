// What a link says, and who a platform says has come by a group link. Platforms add parameters to the
// link that they are given: before its # (Prolific fills in a link that has them there), or at its
// end, after the #. Mails, forms and platforms encode parts of it, once or several times.

// How the platforms' parameters are called, in small letters without signs: Prolific; MTurk and
// Toloka; CloudResearch and others.
const names = ["prolificpid", "workerid", "participantid", "participant"];

type Parameters = [name: string, value: string][];
type Place = Pick<Location, "search" | "hash">;

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // no encoding at all somewhere: what stands between the parameters alone
    return text.replace(/%(?:3f|26|23|3d)/gi, (sign) => decodeURIComponent(sign));
  }
}

// A part between two separators in which others were encoded, without that; undefined: it has none.
function opened(part: string): string | undefined {
  for (let text = part; ; ) {
    const next = decoded(text);
    if (next === text) return undefined;
    text = next;
    if (/[&?#][\w-]+=/.test(text) || (!part.includes("=") && /^[\w-]+=/.test(text))) return text;
  }
}

// The parameters of a query, also behind a second ? or #. As mails and forms write links, too: `&amp;`
// for &.
function parametersIn(text: string): Parameters {
  return text
    .replace(/&amp;/gi, "&")
    .split(/[&?#]/)
    .flatMap((part) => {
      const inside = opened(part);
      return inside === undefined ? [...new URLSearchParams(part)] : parametersIn(inside);
    });
}

// The values that are not empty, by a parameter's name in small letters without signs.
function valuesOf(parameters: Parameters, name: string): string[] {
  return parameters
    .filter(([key, value]) => key.toLowerCase().replace(/[^a-z]/g, "") === name && value !== "")
    .map(([, value]) => value);
}

// A parameter of the link itself, which stands after its # unless something has changed it.
export function linkParameter({ search, hash }: Place, name: string): string | undefined {
  const given = [...parametersIn(hash.slice(1)), ...parametersIn(search.slice(1))];
  return valuesOf(given, name)[0];
}

// An id without signs that nobody sees, which come along where it is copied from.
export function visibleId(id: string): string {
  return id.replace(/\p{Cf}/gu, "").trim();
}

// What no id has, and a platform's words for one that it has not filled in do.
const placeholder = /[{}[\]<>$%]/;

export interface Participant {
  // Empty: the link has none.
  id: string;
  // The platform shows what the task is to somebody who has not accepted it yet.
  preview: boolean;
}

export function participantOf({ search, hash }: Place): Participant {
  const given = [...parametersIn(search.slice(1)), ...parametersIn(hash.slice(1))];
  const ids = names.flatMap((name) => valuesOf(given, name).map(visibleId)).filter(Boolean);
  return {
    id: ids.find((id) => !placeholder.test(id)) ?? ids[0] ?? "",
    preview: given.some(([, value]) => value === "ASSIGNMENT_ID_NOT_AVAILABLE"),
  };
}
