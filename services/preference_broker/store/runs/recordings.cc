#include "services/preference_broker/store/runs/recordings.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/runs/clips.h"

namespace backflip::preference_broker {
namespace {

// Rows [first, first + rows) of an array with `moments` rows.
template <typename Field>
void CopyRows(const Field& from, int moments, int first, int rows, Field* to) {
  const int width = from.size() / moments;
  to->Add(from.begin() + first * width, from.begin() + (first + rows) * width);
}

}  // namespace

void StoreRecording(Transaction& t, int64_t run_id, const v1::Clip& recording) {
  const PackedClip packed = PackClip(recording);
  t.Exec(R"sql(
      INSERT INTO recordings (run_id, policy_version, iteration, steps, behaviour, picture, physics)
      VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING)sql",
         run_id, recording.policy_version(), recording.iteration(), recording.steps(),
         Bytes{packed.behaviour}, Bytes{packed.picture}, Bytes{packed.physics});
}

absl::StatusOr<v1::Clip> ReadRecording(Transaction& t, int64_t run_id, int64_t policy_version,
                                       bool with_states) {
  RETURN_IF_ERROR(CheckRunExists(t, run_id));
  const pqxx::result rows = t.Exec(
      "SELECT behaviour, picture, CASE WHEN $3::boolean THEN physics END FROM recordings "
      "WHERE run_id = $1 AND ($2::bigint = 0 OR policy_version = $2) ORDER BY policy_version DESC "
      "LIMIT 1",
      run_id, policy_version, with_states);
  if (rows.empty()) {
    const std::vector<int64_t> versions = RecordedVersions(t, run_id);
    return absl::NotFoundError(
        versions.empty()
            ? absl::StrCat("run ", run_id, " has no recorded episode yet")
            : absl::StrCat("run ", run_id, " has no recorded episode of policy ", policy_version,
                           ", but of ", absl::StrJoin(versions, ", ")));
  }
  v1::Clip recording;
  RETURN_IF_ERROR(UnpackPart(Blob(rows[0][0]), &recording));
  RETURN_IF_ERROR(UnpackPart(Blob(rows[0][1]), &recording));
  if (with_states) RETURN_IF_ERROR(UnpackPart(Blob(rows[0][2]), &recording));
  return recording;
}

std::vector<int64_t> RecordedVersions(Transaction& t, int64_t run_id) {
  return Ints(t.Exec(
      "SELECT policy_version FROM recordings WHERE run_id = $1 ORDER BY policy_version", run_id));
}

v1::Clip CutClip(const v1::Clip& recording, int32_t middle, int32_t steps) {
  const int all = recording.steps();
  const int first = std::clamp(middle - steps / 2, 0, all - steps);
  v1::Clip clip;
  clip.set_steps(steps);
  CopyRows(recording.observations(), all + 1, first, steps + 1, clip.mutable_observations());
  CopyRows(recording.actions(), all, first, steps, clip.mutable_actions());
  CopyRows(recording.states(), all + 1, first, steps + 1, clip.mutable_states());
  clip.mutable_poses()->set_bodies(recording.poses().bodies());
  CopyRows(recording.poses().poses(), all + 1, first, steps + 1,
           clip.mutable_poses()->mutable_poses());
  clip.set_policy_version(recording.policy_version());
  clip.set_iteration(recording.iteration());
  clip.set_ticket(recording.ticket());
  clip.set_index(first);  // so that cuts of a part without motion differ
  return clip;
}

}  // namespace backflip::preference_broker
