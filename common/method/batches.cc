#include "common/method/batches.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "common/experience/limits.h"

namespace backflip::method {
namespace {

// More tickets give simulation threads finer pieces to share, fewer cost less.
constexpr int kTicketsPerBatch = 64;

int64_t StepBytes(const v1::TaskInfo& task) {
  // observations, actions, log-probability, true reward
  return 4 * (task.observation_size() + task.action_size() + 2);
}

}  // namespace

absl::Status CheckRolloutSizes(const v1::RunSpec& spec, const v1::TaskInfo& task) {
  const int64_t step = StepBytes(task);
  if (StepsPerEnvironment(spec) * step > experience::kMaxPayloadBytes) {
    const int64_t most = experience::kMaxPayloadBytes / step;
    return absl::InvalidArgumentError(absl::StrCat(
        "collection.batch_steps / collection.environments is ", StepsPerEnvironment(spec),
        " steps, which with ", task.observation_size(), " observations and ", task.action_size(),
        " actions is over 3 MB; allowed: at most ", most, " steps for each environment"));
  }
  if (task.evaluation_steps() * step > experience::kMaxPayloadBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "evaluation_steps of task ", task.name(), " is ", task.evaluation_steps(), ", which with ",
        task.observation_size(), " observations and ", task.action_size(),
        " actions is over 3 MB; allowed: at most ", experience::kMaxPayloadBytes / step));
  }
  return absl::OkStatus();
}

int StepsPerEnvironment(const v1::RunSpec& spec) {
  return spec.collection().batch_steps() / spec.collection().environments();
}

int EnvironmentsPerTicket(const v1::RunSpec& spec, const v1::TaskInfo& task) {
  const int environments = spec.collection().environments();
  const int few = (environments + kTicketsPerBatch - 1) / kTicketsPerBatch;
  const int64_t most = experience::kMaxPayloadBytes / (StepBytes(task) * StepsPerEnvironment(spec));
  return static_cast<int>(std::clamp<int64_t>(few, 1, std::max<int64_t>(1, most)));
}

int FirstEpisodeStep(const v1::RunSpec& spec, int episode_steps, int environment) {
  const int64_t environments = spec.collection().environments();
  return static_cast<int>(episode_steps * (environments - 1 - environment) / environments);
}

int ClipsOf(const v1::RunSpec& spec, int first, int last) {
  const int64_t clips = spec.collection().clips_per_batch();
  const int64_t environments = spec.collection().environments();
  return static_cast<int>(clips * last / environments - clips * first / environments);
}

}  // namespace backflip::method
