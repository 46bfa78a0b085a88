// From the protocol to the trainer's own words.
#ifndef BACKFLIP_COMMON_METHOD_CONVERSIONS_H_
#define BACKFLIP_COMMON_METHOD_CONVERSIONS_H_

#include "absl/status/statusor.h"
#include "backflip/v1/label.pb.h"
#include "backflip/v1/run.pb.h"
#include "common/method/ensemble_fitter.h"
#include "common/method/label_book.h"

namespace backflip::method {

// The steps of a clip, each with the observation that its action was chosen on.
// INVALID_ARGUMENT when its sizes are not those of `task`.
absl::StatusOr<learn::Clip> ClipOf(const v1::Clip& clip, const v1::TaskInfo& task);

LabelEntry EntryOf(const v1::LabelEntry& entry);

// The options of the run's ensemble. Every option of the run is set.
FitterConfig FitterConfigOf(const v1::Run& run);

}  // namespace backflip::method

#endif  // BACKFLIP_COMMON_METHOD_CONVERSIONS_H_
