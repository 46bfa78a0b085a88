// Where the runs that have not ended stand, for who watches the whole service.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_STATE_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_STATE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/preference_broker/store/db/connection.h"

namespace backflip::preference_broker {

struct RunStanding {
  int64_t run_id = 0;
  int64_t steps = 0;   // of whole batches
  int64_t labels = 0;  // that count towards the budget
  // Answers that are wanted and nobody is asked for now; leases.
  int64_t open_answers = 0, live_leases = 0;
  // Answers to train on that no ensemble was fitted to, and the age of the oldest.
  int64_t unlearned_labels = 0;
  double unlearned_seconds = 0;
  int64_t wanted_steps = 0, worker_threads = 0;
  // By role, learner and trainer: claims so far, and those of them that came to nothing since the
  // run last got further.
  std::map<std::string, int64_t> claims, attempts;
  // The newest of the charts that are asked for and that the run has.
  std::map<std::string, double> charts;
};

struct Standing {
  std::map<std::string, int64_t> runs;  // by state, all of them
  std::vector<RunStanding> active;      // queued, running and paused: the newest 100
};

absl::StatusOr<Standing> ReadStanding(Connection& connection,
                                      const std::vector<std::string>& charts);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_STATE_H_
