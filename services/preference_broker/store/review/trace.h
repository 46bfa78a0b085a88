// From a label to what it came of and what came of it; and what snapshots were learned from, which
// that takes.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_TRACE_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_TRACE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "backflip/v1/trace.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

// NOT_FOUND: there is no such label. PERMISSION_DENIED: it is of a run that is not the caller's.
absl::StatusOr<v1::LabelTrace> TraceLabel(Connection& connection, const Caller& caller,
                                          int64_t label_id);

// A label that is learned from.
struct LearnedLabel {
  int64_t label_id = 0;
  int64_t question_id = 0;
  double age_seconds = 0;  // since it was answered
};

// Labels that no snapshot of this kind had learned from before this one.
struct FirstLearned {
  v1::SnapshotKind kind = v1::REWARD;
  int64_t version = 0;
  std::vector<LearnedLabel> labels;  // in the feed's order
};

// Records the snapshot's sources, unless they are known: then there is nothing new. Returns what
// is known to be learned from since then, once for each label and kind in whatever order learner
// and trainer tell. Labels that were imported or copied are left out. NOT_FOUND: there is no such
// snapshot.
absl::StatusOr<std::vector<FirstLearned>> ReportSources(Connection& connection,
                                                        const Caller& caller,
                                                        const v1::ReportSourcesRequest& request);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_TRACE_H_
