// From the protocol to the trainer's own words.
#ifndef BACKFLIP_SERVICES_REWARD_TRAINER_CONVERSIONS_H_
#define BACKFLIP_SERVICES_REWARD_TRAINER_CONVERSIONS_H_

#include "absl/status/statusor.h"
#include "backflip/v1/label.pb.h"
#include "backflip/v1/run.pb.h"
#include "services/reward_trainer/ensemble_fitter.h"
#include "services/reward_trainer/label_book.h"

namespace backflip::reward_trainer {

// The steps of a clip, each with the observation that its action was chosen on.
// INVALID_ARGUMENT when its sizes are not those of `task`.
absl::StatusOr<learn::Clip> ClipOf(const v1::Clip& clip, const v1::TaskInfo& task);

LabelEntry EntryOf(const v1::LabelEntry& entry);

// The options of the run's ensemble. Every option of the run is set.
FitterConfig FitterConfigOf(const v1::Run& run);

}  // namespace backflip::reward_trainer

#endif  // BACKFLIP_SERVICES_REWARD_TRAINER_CONVERSIONS_H_
