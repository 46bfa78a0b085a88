// Questions, leases, labels and the label feed.
//
// A question's row lock comes before those of its leases, and open_slots changes
// under it alone: a question is held or answered by as many labelers as it
// wants answers, never more (a late answer beyond that is a surplus).
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_QUESTIONS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_QUESTIONS_H_

#include <string>
#include <vector>

#include "backflip/v1/label.pb.h"
#include "services/preference_broker/store/callers.h"
#include "services/preference_broker/store/connection.h"

namespace backflip::broker {

// Idempotent by (run, round). NOT_FOUND names a clip that is not stored.
absl::StatusOr<v1::OpenQuestionsResponse> OpenQuestions(Connection& connection, const Caller& caller,
                                                        const v1::OpenQuestionsRequest& request);

// What a caller may lease of one run, or of any (run_id 0).
// FAILED_PRECONDITION: a teacher on a task without a true reward, or a caller
// that holds too many leases. `questions` empty: `none` says why.
absl::StatusOr<v1::LeaseResponse> LeaseQuestions(Connection& connection, const Caller& caller,
                                                 int64_t run_id, int32_t count, int32_t lease_ms);

// Renews the caller's live leases, each for as long as it was given at first.
absl::StatusOr<int32_t> RenewLeases(Connection& connection, const Caller& caller);

struct SubmittedLabel {
  int64_t run_id = 0;
  int64_t label_id = 0;
  bool surplus = false;
};
absl::StatusOr<SubmittedLabel> SubmitLabel(Connection& connection, const Caller& caller,
                                           const v1::SubmitRequest& request);
// Returns the run.
absl::StatusOr<int64_t> UndoLabel(Connection& connection, const Caller& caller,
                                  const v1::UndoRequest& request);

// Gives the slots of leases past their deadline back. Returns how many.
absl::StatusOr<int64_t> ExpireLeases(Connection& connection);

// Gives committed labels of a run their places in the feed, in the order of
// their ids, and counts them. Any number of brokers may call it at once.
absl::Status NumberLabels(Connection& connection, int64_t run_id);
// Runs with labels that have no place yet: left by a broker that died.
absl::StatusOr<std::vector<int64_t>> RunsWithUnnumberedLabels(Connection& connection);

struct FeedEntry {
  v1::LabelEntry entry;
  // Of the question's clips, in the order of entry.clip_ids.
  std::vector<int64_t> clips;
};
// At most `limit` entries from a position on.
absl::StatusOr<std::vector<FeedEntry>> ReadFeed(Connection& connection, int64_t run_id,
                                                int64_t from_position, int32_t limit);

}  // namespace backflip::broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_QUESTIONS_H_
