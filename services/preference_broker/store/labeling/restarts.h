// Moments of clips that training episodes begin at.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_RESTARTS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_RESTARTS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "backflip/v1/restart.pb.h"
#include "services/preference_broker/store/db/connection.h"

namespace backflip::preference_broker {

// Ids of the clips that the choices come to; none where the run has no candidates.
absl::StatusOr<std::vector<int64_t>> ChooseClips(Connection& connection,
                                                 const v1::GetMomentsRequest& request);

// The moments of clips so many steps before their ends, [clips] each. DATA_LOSS: a stored clip is
// damaged.
absl::StatusOr<std::vector<v1::Moment>> ReadMoments(Connection& connection, int clip_steps,
                                                    const std::vector<int64_t>& clips,
                                                    const std::vector<int>& steps_before_end);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_RESTARTS_H_
