// Leases: questions on their way to labelers.
//
// A question's row lock comes before those of its leases, and open_slots changes
// under it alone: a question is held or answered by as many labelers as it
// wants answers, never more (a late answer beyond that is a surplus).
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_LEASES_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_LEASES_H_

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "backflip/v1/label.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"
#include "services/preference_broker/store/runs/run_cache.h"

namespace backflip::preference_broker {

// The caller's current status, and the runs that they may lease from.
struct CallerStatus {
  std::string name;
  std::string state;
  std::string reason;
  int64_t held = 0;  // live leases
  // A labeler who let a question run out of time holds few until they have answered others.
  int64_t may_hold = std::numeric_limits<int64_t>::max();
  // What their invite asks for; 0: no end.
  int64_t answers_wanted = 0;
  int64_t minutes_wanted = 0;
  // Answers left, -1: no end; complete: nothing is left.
  int64_t answers_left = -1;
  bool complete = false;
  std::string completion_code;
  std::string redirect_url;
  std::vector<int64_t> runs;
};

// `run_id` 0: all runs.
CallerStatus ReadCallerStatus(Transaction& t, const Caller& caller, int64_t run_id);

struct LeaseTerms {
  // 0: any that the caller may answer for.
  int64_t run_id = 0;
  int32_t count = 1;
  int32_t max_clips = 2;
  int32_t lease_ms = 0;
};
struct LeasedQuestions {
  // `questions` empty: `none` says why.
  v1::LeaseResponse response;
  // The caller holds nothing that waits for their answer.
  bool idle = false;
  // Nobody has anything to answer in the runs that were looked at.
  bool nothing_open = false;
};
// FAILED_PRECONDITION: a teacher on a task without true reward and rubric, or a caller
// that holds too many leases. PERMISSION_DENIED: the run is not the caller's.
absl::StatusOr<LeasedQuestions> LeaseQuestions(Connection& connection, RunCache& runs,
                                               const Caller& caller, const LeaseTerms& terms);

// A labeler holds at most so many questions.
inline constexpr int64_t kMaxLeasesOfLabeler = 8;
// After one that ran out of time, so many, and one more for each answer since.
inline constexpr int64_t kLeasesAfterLapse = 2;
// Answers and retractions of a caller to one question, under whichever leases. The feed keeps them
// all, and a change of what was trained on has the ensemble fitted again from the beginning.
inline constexpr int64_t kMostEntries = 12;
// A lease can be renewed until it is so many times its length old.
inline constexpr int64_t kMostRenewals = 10;

// Renews the caller's live leases, each for as long as it was given at first, up to their
// greatest age. Returns how many.
absl::StatusOr<int32_t> RenewLeases(Connection& connection, const Caller& caller);

// Gives the slots of leases past their deadline back. Returns how many.
absl::StatusOr<int64_t> ExpireLeases(Connection& connection);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_LEASES_H_
