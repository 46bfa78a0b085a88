// Whether a rollout is what its ticket asked for.
#ifndef BACKFLIP_SERVICES_POLICY_LEARNER_ROLLOUT_CHECK_H_
#define BACKFLIP_SERVICES_POLICY_LEARNER_ROLLOUT_CHECK_H_

#include "absl/status/status.h"
#include "backflip/v1/collect.pb.h"

namespace backflip::policy_learner {

struct RolloutShape {
  int observation_size = 0;
  int action_size = 0;
  int episode_steps = 0;
  // Whether rollouts carry true rewards: in runs with `reward: TRUE` alone. In
  // others a rollout that does is refused.
  bool true_rewards = false;
};

// INVALID_ARGUMENT names ticket, environment, field, its size and the right
// one, or the place of a number that is not finite.
absl::Status CheckRollout(const v1::Ticket& ticket, const RolloutShape& shape,
                          const v1::Rollout& rollout);

}  // namespace backflip::policy_learner

#endif  // BACKFLIP_SERVICES_POLICY_LEARNER_ROLLOUT_CHECK_H_
