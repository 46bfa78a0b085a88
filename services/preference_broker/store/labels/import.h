// Labels that were given elsewhere.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELS_IMPORT_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELS_IMPORT_H_

#include <cstdint>
#include <vector>

#include "backflip/v1/review.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

// Adds labels with their clips to a run, as answers to TRAIN questions of their own, which
// nobody is asked; labels of the same clips share one question. All or nothing; labels whose
// source_key the run has are left as they are. Expects clips and labels that were checked one
// by one. NOT_FOUND: a label names a clip that neither the call nor the run has.
// FAILED_PRECONDITION: the run takes no labels, or a name is that of somebody who gives none.
absl::StatusOr<v1::ImportLabelsResponse> ImportLabels(Connection& connection, const Caller& caller,
                                                      int64_t run_id,
                                                      const std::vector<v1::Candidate>& clips,
                                                      const std::vector<v1::ImportedLabel>& labels);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELS_IMPORT_H_
