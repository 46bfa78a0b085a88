// Clips for reviewers: to watch, to export whole, to ask about, and as gold pairs.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_REVIEW_CLIPS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_REVIEW_CLIPS_H_

#include <string>
#include <vector>

#include "backflip/v1/clip.pb.h"
#include "backflip/v1/review.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

// What a viewer draws of the clips with these ids, in their order, or of clips of the newest
// batch. NOT_FOUND names a clip that the run does not have.
absl::StatusOr<v1::GetClipsResponse> DrawnClips(Connection& connection,
                                                const v1::GetClipsRequest& request);

// Row ids of the run's clips with these keys, in their order, or of the clips of all its standing
// labels where `keys` is empty. NOT_FOUND names a clip that the run does not have.
absl::StatusOr<std::vector<int64_t>> ClipRows(Connection& connection, int64_t run_id,
                                              const std::vector<std::string>& keys);
// Whole clips, without their true rewards.
absl::StatusOr<std::vector<v1::Candidate>> ReadWholeClips(Connection& connection,
                                                          const std::vector<int64_t>& ids);

// A recording, the newest reward snapshot's bytes (empty: there is none yet), the policy versions
// that have recordings, and how to draw it.
struct RecordedEpisode {
  v1::Clip recording;
  std::string reward;
  std::vector<int64_t> versions;
  double playback_fps = 0;
  std::string scene_hash;
};
absl::StatusOr<RecordedEpisode> ReadEpisode(Connection& connection,
                                            const v1::GetEpisodeRequest& request);

// Opens a question about a moment of a recording, which belongs to none of the trainer's rounds.
// Idempotent by request_id. FAILED_PRECONDITION: why the run takes no question now.
absl::StatusOr<v1::AskAboutResponse> AskAbout(Connection& connection, const Caller& caller,
                                              const v1::AskAboutRequest& request);

// Pairs with a known answer. Idempotent by (run, clips in any order, use).
absl::StatusOr<v1::GoldPair> AddGold(Connection& connection, const Caller& caller,
                                     const v1::AddGoldRequest& request);
absl::StatusOr<v1::ListGoldResponse> ListGold(Connection& connection, int64_t run_id);
absl::Status RemoveGold(Connection& connection, const Caller& caller, int64_t gold_id);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_REVIEW_CLIPS_H_
