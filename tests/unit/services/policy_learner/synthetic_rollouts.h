// A task without a simulator: rollouts that are a function of their ticket.
#ifndef BACKFLIP_TESTS_UNIT_SERVICES_POLICY_LEARNER_SYNTHETIC_ROLLOUTS_H_
#define BACKFLIP_TESTS_UNIT_SERVICES_POLICY_LEARNER_SYNTHETIC_ROLLOUTS_H_

#include <cstdint>
#include <memory>

#include "backflip/v1/collect.pb.h"
#include "backflip/v1/run.pb.h"
#include "common/base/random.h"

namespace backflip::policy_learner {

inline constexpr int kObservations = 3;
inline constexpr int kActions = 2;
inline constexpr int kEpisodeSteps = 6;

inline v1::TaskInfo SyntheticTask() {
  v1::TaskInfo task;
  task.set_name("synthetic");
  task.set_fingerprint("f1");
  task.set_observation_size(kObservations);
  task.set_action_size(kActions);
  task.set_episode_steps(kEpisodeSteps);
  task.set_step_seconds(0.02);
  task.set_evaluation_steps(5);
  task.set_clip_steps(2);
  task.set_has_true_reward(true);
  return task;
}

// Of the ticket alone, as a worker's. States count the steps of all batches.
inline std::unique_ptr<v1::Rollout> SyntheticRollout(const v1::Ticket& ticket,
                                                     bool true_rewards = false) {
  auto rollout = std::make_unique<v1::Rollout>();
  rollout->set_iteration(ticket.iteration());
  rollout->set_index(ticket.index());
  rollout->set_policy_version(ticket.policy_version());
  rollout->set_purpose(ticket.purpose());
  for (const v1::EnvironmentStart& start : ticket.environments()) {
    const bool collect = ticket.purpose() == v1::COLLECT;
    uint64_t seed = start.has_state() ? start.state().rng_seed() : start.reset_seed();
    double total = start.has_state() ? start.state().physics(0) : 0;
    int episode_step = start.has_state() ? start.state().episode_step() : 0;
    uint64_t draws = start.has_state() ? start.state().rng_counter() : 0;
    const auto draw = [&] {
      return static_cast<float>(static_cast<double>(base::SeedOf({seed, draws++}) >> 11) * 0x1p-52 -
                                1);
    };
    v1::Trajectory* trajectory = rollout->add_trajectories();
    for (int t = 0; t < ticket.steps(); ++t) {
      for (int i = 0; i < kObservations; ++i) trajectory->add_observations(draw());
      for (int i = 0; i < kActions; ++i) trajectory->add_actions(draw());
      if (collect) trajectory->add_log_probs(-1.5f + 0.1f * draw());
      if (true_rewards) trajectory->add_true_rewards(draw());
      total += 1;
      if (collect && ++episode_step == kEpisodeSteps) {
        episode_step = 0;
        trajectory->add_episode_ends(t);
        for (int i = 0; i < kObservations; ++i) {
          trajectory->add_end_observations(draw());
        }
      }
    }
    for (int i = 0; i < kObservations; ++i) trajectory->add_last_observation(draw());
    v1::EnvironmentState* end = trajectory->mutable_end();
    end->add_physics(total);
    end->set_episode_step(episode_step);
    for (int i = 0; i < kActions; ++i) end->add_noise(0.5f);
    end->set_rng_seed(seed);
    end->set_rng_counter(draws);
  }
  return rollout;
}

}  // namespace backflip::policy_learner

#endif  // BACKFLIP_TESTS_UNIT_SERVICES_POLICY_LEARNER_SYNTHETIC_ROLLOUTS_H_
