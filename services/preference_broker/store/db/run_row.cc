#include "services/preference_broker/store/db/run_row.h"

#include "absl/strings/str_cat.h"
#include "services/preference_broker/store/db/topics.h"

namespace backflip::preference_broker {

absl::Status UnknownRun(int64_t run_id) {
  return absl::NotFoundError(absl::StrCat("there is no run ", run_id));
}

absl::Status CheckRunExists(Transaction& t, int64_t run_id) {
  if (t.Exec("SELECT FROM runs WHERE id = $1", run_id).empty()) return UnknownRun(run_id);
  return absl::OkStatus();
}

std::string TraceId(int64_t run_id, int64_t question_id) {
  return absl::StrCat(run_id, "-", question_id);
}

void TouchRun(Transaction& t, int64_t run_id) {
  t.Exec("UPDATE runs SET revision = revision + 1 WHERE id = $1", run_id);
  t.Signal(RunTopic(run_id));
}

void Audit(Transaction& t, int64_t caller_id, int64_t run_id, absl::string_view action,
           absl::string_view detail) {
  t.Exec(
      "INSERT INTO audit (caller_id, run_id, action, detail) VALUES ($1, nullif($2::bigint, 0), "
      "$3, $4)",
      caller_id, run_id, action, detail);
}

}  // namespace backflip::preference_broker
