// Labels as reviewers and operators list and export them.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELS_EXPORT_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELS_EXPORT_H_

#include <vector>

#include "backflip/v1/label.pb.h"
#include "backflip/v1/review.pb.h"
#include "services/preference_broker/store/db/connection.h"

namespace backflip::preference_broker {

// Version of ExportedLabel (docs/protocol.md).
inline constexpr int32_t kExportSchema = 1;

// Standing labels from a position on, at most `limit`.
absl::StatusOr<std::vector<v1::ExportedLabel>> ReadStandingLabels(Connection& connection,
                                                                  int64_t run_id,
                                                                  int64_t from_position,
                                                                  int32_t limit);

// A page, newest first. NOT_FOUND: no such run, labeler or question of it.
absl::StatusOr<v1::ListLabelsResponse> ListLabels(Connection& connection,
                                                  const v1::ListLabelsRequest& request);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELS_EXPORT_H_
