// Who a platform says has come by a group link. Platforms add parameters to the link that they are
// given: before its # (Prolific fills in a link that has them there), or at its end, after the #.

// How the platforms' parameters are called, in small letters without signs: Prolific; MTurk and
// Toloka; CloudResearch and others.
const names = ["prolificpid", "workerid", "participantid", "participant"];

// The parameters after the #, also behind a second ? or #.
export function linkParameters(hash: string): URLSearchParams {
  return new URLSearchParams(hash.slice(1).replace(/[?#]/g, "&"));
}

export interface Participant {
  // Empty: the link has none.
  id: string;
  // The platform shows what the task is to somebody who has not accepted it yet.
  preview: boolean;
}

export function participantOf({ search, hash }: { search: string; hash: string }): Participant {
  const given = [...new URLSearchParams(search), ...linkParameters(hash)];
  const ids = names.flatMap((name) =>
    given
      .filter(([key, value]) => key.toLowerCase().replace(/[^a-z]/g, "") === name && value)
      .map(([, value]) => value.trim()),
  );
  return {
    id: ids[0] ?? "",
    preview: given.some(([, value]) => value === "ASSIGNMENT_ID_NOT_AVAILABLE"),
  };
}
