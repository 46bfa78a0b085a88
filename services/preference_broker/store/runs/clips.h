// Clips: their keys, how they are stored, the pool of candidates.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_CLIPS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_CLIPS_H_

#include <optional>
#include <string>
#include <vector>

#include "backflip/v1/clip.pb.h"
#include "backflip/v1/label.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

// A clip as it is stored: each part is a compressed Clip with only its own fields, so that true
// rewards are read only by those who ask for that column.
struct PackedClip {
  // SHA-256 of the layout in docs/protocol.md, "Clip key": 32 bytes.
  std::string key;
  int64_t iteration = 0;
  int32_t ticket = 0;
  int32_t index = 0;
  std::string behaviour;
  std::string picture;
  std::string physics;
  std::string truth;  // empty: the clip has no true rewards and no rubric
};

std::string ClipKey(const v1::Clip& clip);
PackedClip PackClip(const v1::Clip& clip);
// Merges one part into `clip`. DATA_LOSS: the bytes are no such part.
absl::Status UnpackPart(const std::string& part, v1::Clip* clip);

// Adds what a viewer draws of a clip; `truth` NULL: without true rewards and rubric.
absl::Status ShowClip(const pqxx::field& picture, const pqxx::field& truth, v1::ShownClip* shown);

// Stores a clip unless the run has one with its key. A trainer chooses among candidates only.
// `worker`: callers.id of who simulated it; 0: it was not simulated for this run. Returns the row's
// id if it is new.
std::optional<int64_t> StoreClip(Transaction& t, int64_t run_id, const PackedClip& clip,
                                 bool candidate, int64_t worker = 0);

// Stores candidates that the run does not have. Returns how many it wants of its next batch:
// clips_per_batch, or none once all labels are asked for. Refused as CheckServes says, and where a
// batch has more clips than any run asks for.
absl::StatusOr<int32_t> StoreClips(Connection& connection, const Caller& caller, int64_t run_id,
                                   const std::vector<PackedClip>& clips);

// Ids of the newest `limit` candidates of batches after `after_iteration` and
// up to `max_iteration`, in order of (iteration, ticket, index).
absl::StatusOr<std::vector<int64_t>> ListCandidates(Connection& connection, int64_t run_id,
                                                    int64_t after_iteration, int64_t max_iteration,
                                                    int32_t limit);

// Observations and actions only, in the order of `ids`, without those that were pruned
// meanwhile. `true_rewards`: these too.
absl::StatusOr<std::vector<v1::Candidate>> ReadCandidates(Connection& connection,
                                                          const std::vector<int64_t>& ids,
                                                          bool true_rewards = false);

// Deletes candidates that no question and no gold pair names, except the newest `queries.pool`,
// counted from a few batches back, so that a trainer that lags still finds its pool. Returns how
// many.
absl::StatusOr<int64_t> PruneClips(Connection& connection, int64_t run_id);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_CLIPS_H_
