// Evaluation episodes that reviewers watch.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_RECORDINGS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_RECORDINGS_H_

#include <cstdint>
#include <vector>

#include "backflip/v1/clip.pb.h"
#include "services/preference_broker/store/db/connection.h"

namespace backflip::preference_broker {

// Stores a recording, unless the run has one of the same policy version.
void StoreRecording(Transaction& t, int64_t run_id, const v1::Clip& recording);

// Observations, actions and poses; the states only `with_states`. policy_version 0: the newest.
// NOT_FOUND: there is none, and which there are.
absl::StatusOr<v1::Clip> ReadRecording(Transaction& t, int64_t run_id, int64_t policy_version,
                                       bool with_states);

// Oldest first.
std::vector<int64_t> RecordedVersions(Transaction& t, int64_t run_id);

// `steps` steps of a recording, around `middle` as far as its ends allow. Requires a recording
// of at least `steps` steps.
v1::Clip CutClip(const v1::Clip& recording, int32_t middle, int32_t steps);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_RECORDINGS_H_
