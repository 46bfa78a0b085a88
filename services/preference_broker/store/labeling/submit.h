// Answers under leases, and taking them back.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_SUBMIT_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_SUBMIT_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "backflip/v1/label.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"
#include "services/preference_broker/store/runs/run_cache.h"

namespace backflip::preference_broker {

struct SubmittedLabel {
  int64_t run_id = 0;
  int64_t question_id = 0;
  int64_t label_id = 0;
  bool surplus = false;
  // Made by this call, not by an earlier one; otherwise `run` is null.
  bool fresh = false;
  std::shared_ptr<const LabelingConfig> run;
  v1::Purpose purpose = v1::PURPOSE_UNSPECIFIED;
  // From lease to answer, by the database's clock.
  int64_t age_ms = 0;
  // For a question for practice.
  std::optional<v1::Feedback> feedback;
  // The question wants one more answer, since those it has disagree.
  bool reopened = false;
};
// Expects a request that was checked, except for what depends on the question. NOT_FOUND: no such
// lease. PERMISSION_DENIED: it is another caller's. ALREADY_EXISTS: the idempotency key was used
// for another answer. FAILED_PRECONDITION: another answer stands.
absl::StatusOr<SubmittedLabel> SubmitLabel(Connection& connection, RunCache& runs,
                                           const Caller& caller, const v1::SubmitRequest& request);
// Takes back the answer under a lease, which is live again. Idempotent. Of what is returned,
// run, question, label (the entry that takes back) and `fresh` are set.
absl::StatusOr<SubmittedLabel> UndoLabel(Connection& connection, const Caller& caller,
                                         const v1::UndoRequest& request);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_SUBMIT_H_
