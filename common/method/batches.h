// How a batch is cut into tickets. Tickets depend on the run's options alone, never on how
// many workers there are.
#ifndef BACKFLIP_COMMON_METHOD_BATCHES_H_
#define BACKFLIP_COMMON_METHOD_BATCHES_H_

#include "absl/status/status.h"
#include "backflip/v1/run.pb.h"

namespace backflip::method {

// INVALID_ARGUMENT when rollouts of this run would not fit into a message; says what to
// change.
absl::Status CheckRolloutSizes(const v1::RunSpec& spec, const v1::TaskInfo& task);

// Steps of each environment in a batch.
int StepsPerEnvironment(const v1::RunSpec& spec);

// A batch's ticket `index` is for the environments from index * this on, as many as this.
int EnvironmentsPerTicket(const v1::RunSpec& spec, const v1::TaskInfo& task);

// How old environment `environment`'s fresh episode counts as, in batches with episodes of
// `episode_steps`. Spread evenly: environments that all began at 0 would be in the same part of
// their episodes for ever, and a batch would hold that part alone.
int FirstEpisodeStep(const v1::RunSpec& spec, int episode_steps, int environment);

// Clips to cut from a ticket for the environments from `first` to before `last`: their share
// of the batch's.
int ClipsOf(const v1::RunSpec& spec, int first, int last);

}  // namespace backflip::method

#endif  // BACKFLIP_COMMON_METHOD_BATCHES_H_
