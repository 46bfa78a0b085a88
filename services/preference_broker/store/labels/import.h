// Labels that were given elsewhere.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELS_IMPORT_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELS_IMPORT_H_

#include <cstdint>
#include <vector>

#include "backflip/v1/review.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

// Takes labels with their clips into a run as answers to TRAIN questions of
// their own, which nobody is asked; labels of the same clips share one. All or
// nothing; what the run knows by its source_key stays as it is. Clips and
// labels were checked by themselves. NOT_FOUND: a label names a clip that there
// is not. FAILED_PRECONDITION: the run takes no labels, or a name is not a
// labeler's.
absl::StatusOr<v1::ImportLabelsResponse> ImportLabels(Connection& connection, const Caller& caller,
                                                      int64_t run_id,
                                                      const std::vector<v1::Candidate>& clips,
                                                      const std::vector<v1::ImportedLabel>& labels);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELS_IMPORT_H_
