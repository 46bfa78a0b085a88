// Labels of one run in another, which begins with them.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_COPIED_LABELS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_COPIED_LABELS_H_

#include <cstdint>

#include "backflip/v1/run.pb.h"
#include "services/preference_broker/store/db/connection.h"

namespace backflip::preference_broker {

// Whether a run with this spec and task can begin with the labels of `from_run`. NOT_FOUND: no
// such run. FAILED_PRECONDITION: its clips have another shape, or the new run learns from no
// labels.
absl::Status CheckLabelsFit(Transaction& t, int64_t from_run, const v1::RunSpec& spec,
                            const v1::TaskInfo& task);

// Gives a run that was made in this transaction the standing labels of another:
// those of TRAIN, GOLD and QUALIFICATION questions, with their clips, gold
// pairs and labelers. They are its feed from position 1 on, in their old order,
// and count towards its budget; none of their questions is open. (REPEAT and PROGRESS answers
// mean something only in their own run.) Their clips are no candidates, their questions belong
// to no round, and true rewards are copied only `with_truth`.
void CopyLabels(Transaction& t, int64_t from_run, int64_t to_run, bool with_truth);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_COPIED_LABELS_H_
