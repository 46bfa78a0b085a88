// What every part of the store does with runs: checks that they exist, tells their watchers, and
// writes the audit.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_DB_RUN_ROW_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_DB_RUN_ROW_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "services/preference_broker/store/db/connection.h"

namespace backflip::preference_broker {

// NOT_FOUND.
absl::Status UnknownRun(int64_t run_id);
absl::Status CheckRunExists(Transaction& t, int64_t run_id);
// What the lines of the logs about one question have as "trace", from its opening to the first
// policy that learned from an answer to it.
std::string TraceId(int64_t run_id, int64_t question_id);
// Increments the run's revision and wakes those who watch it.
void TouchRun(Transaction& t, int64_t run_id);
// Adds an entry to the audit. `run_id` 0: it belongs to no run.
void Audit(Transaction& t, int64_t caller_id, int64_t run_id, absl::string_view action,
           absl::string_view detail);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_DB_RUN_ROW_H_
