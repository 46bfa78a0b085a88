// What the clips of a run usually earn, for simulated teachers.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_USUAL_RETURNS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_USUAL_RETURNS_H_

#include <cstdint>

#include "backflip/v1/label.pb.h"
#include "services/preference_broker/store/db/connection.h"

namespace backflip::preference_broker {

// Sets mean_return and return_deviation of the question in row `id` of a run: the same at any
// time, since clips that questions name are never deleted. DATA_LOSS: a clip is damaged.
absl::Status SetUsualReturns(Transaction& t, int64_t run_id, int64_t id, v1::Question* question);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_USUAL_RETURNS_H_
