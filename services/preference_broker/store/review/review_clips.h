// Clips for reviewers: drawn, taken out whole, and asked about.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_REVIEW_CLIPS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_REVIEW_CLIPS_H_

#include <string>
#include <vector>

#include "backflip/v1/clip.pb.h"
#include "backflip/v1/review.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

// What is drawn of clips by id, in the order of the ids, or of the newest
// batch. NOT_FOUND names a clip that the run does not have.
absl::StatusOr<v1::GetClipsResponse> DrawnClips(Connection& connection,
                                                const v1::GetClipsRequest& request);

// Ids in the database of the run's clips with these keys, in their order, or of
// the clips of all its standing labels where `keys` is empty. NOT_FOUND names
// the clip that the run does not have.
absl::StatusOr<std::vector<int64_t>> ClipRows(Connection& connection, int64_t run_id,
                                              const std::vector<std::string>& keys);
// Clips whole, less their true rewards.
absl::StatusOr<std::vector<v1::Candidate>> ReadWholeClips(Connection& connection,
                                                          const std::vector<int64_t>& ids);

// A recording, the newest reward snapshot's bytes (empty: none yet), and what
// else there is to tell of the run.
struct RecordedEpisode {
  v1::Clip recording;
  std::string reward;
  std::vector<int64_t> versions;
  double playback_fps = 0;
  std::string scene_hash;
};
absl::StatusOr<RecordedEpisode> ReadEpisode(Connection& connection,
                                            const v1::GetEpisodeRequest& request);

// Idempotent by request_id. The question belongs to none of the trainer's
// rounds. FAILED_PRECONDITION: the run takes no question now, says why.
absl::StatusOr<v1::AskAboutResponse> AskAbout(Connection& connection, const Caller& caller,
                                              const v1::AskAboutRequest& request);

// Pairs with a known answer. Idempotent by (run, clips in any order, use).
absl::StatusOr<v1::GoldPair> AddGold(Connection& connection, const Caller& caller,
                                     const v1::AddGoldRequest& request);
absl::StatusOr<v1::ListGoldResponse> ListGold(Connection& connection, int64_t run_id);
absl::Status RemoveGold(Connection& connection, const Caller& caller, int64_t gold_id);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_REVIEW_CLIPS_H_
