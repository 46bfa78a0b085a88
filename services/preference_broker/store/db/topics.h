// Topics that can be waited for. A signal means that something may have changed; those it wakes
// must check for themselves.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_DB_TOPICS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_DB_TOPICS_H_

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "backflip/v1/snapshot.pb.h"

namespace backflip::preference_broker {

// The run's revision has grown.
inline std::string RunTopic(int64_t run_id) { return absl::StrCat("run/", run_id); }
// Entries were added to the label feed of a run.
inline std::string FeedTopic(int64_t run_id) { return absl::StrCat("feed/", run_id); }
inline std::string SnapshotTopic(int64_t run_id, v1::SnapshotKind kind) {
  return absl::StrCat("snapshot/", run_id, "/", static_cast<int>(kind));
}
// There may be questions to lease, or another reason why there are none.
inline constexpr char kQuestionsTopic[] = "questions";
// There may be a run to claim.
inline constexpr char kClaimsTopic[] = "claims";
// A learner may want workers.
inline constexpr char kWorkTopic[] = "work";

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_DB_TOPICS_H_
