// Who a platform says has come by a group link. Platforms add parameters to the link that they are
// given: before its # (Prolific fills in a link that has them there), or at its end, after the #.

// How the platforms' parameters are called, in small letters without signs: Prolific; MTurk and
// Toloka; CloudResearch and others.
const names = ["prolificpid", "workerid", "participantid", "participant"];

// As mails and forms write links, too: `&amp;` for &.
function parametersIn(text: string): URLSearchParams {
  return new URLSearchParams(text.replace(/&amp;/g, "&"));
}

// The parameters after the #, also behind a second ? or #, or a ? that the platform has encoded
// with all that comes after it.
export function linkParameters(hash: string): URLSearchParams {
  const added = hash.slice(1).replace(/%3f.*/i, (rest) => {
    try {
      return decodeURIComponent(rest);
    } catch {
      return rest;
    }
  });
  return parametersIn(added.replace(/[?#]/g, "&"));
}

// What no id has, and a platform's words for one that it has not filled in do.
const placeholder = /[{}[\]<>$%]/;

export interface Participant {
  // Empty: the link has none.
  id: string;
  // The platform shows what the task is to somebody who has not accepted it yet.
  preview: boolean;
}

export function participantOf({ search, hash }: { search: string; hash: string }): Participant {
  const given = [...parametersIn(search.slice(1)), ...linkParameters(hash)];
  const ids = names.flatMap((name) =>
    given
      .filter(([key, value]) => key.toLowerCase().replace(/[^a-z]/g, "") === name && value)
      .map(([, value]) => value.trim()),
  );
  return {
    id: ids.find((id) => !placeholder.test(id)) ?? ids[0] ?? "",
    preview: given.some(([, value]) => value === "ASSIGNMENT_ID_NOT_AVAILABLE"),
  };
}
