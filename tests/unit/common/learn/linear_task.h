// A task whose best policy is known: s' = keep · s + push · u + w, where u is the action and w
// a Gaussian disturbance; the reward is −(state_cost · s² + action_cost · u²).
#ifndef BACKFLIP_TESTS_UNIT_COMMON_LEARN_LINEAR_TASK_H_
#define BACKFLIP_TESTS_UNIT_COMMON_LEARN_LINEAR_TASK_H_

#include <cmath>
#include <memory>
#include <vector>

#include "common/experience/trajectory.h"
#include "common/learn/algorithm.h"
#include "common/learn/random.h"
#include "common/nn/policy.h"
#include "gtest/gtest.h"

namespace backflip::learn {

struct LinearTask {
  float keep = 0.9f, push = 0.5f, disturbance = 0.1f;
  float state_cost = 1, action_cost = 0.1f;
  float unit = 1;  // the policy sees unit · s

  // u = −gain · s is best: the fixed point of Riccati's equation.
  double BestGain(double discount) const {
    double p = 0, gain = 0;
    for (int i = 0; i < 1000; ++i) {
      gain = discount * keep * push * p / (action_cost + discount * push * push * p);
      p = state_cost + action_cost * gain * gain +
          discount * (keep - push * gain) * (keep - push * gain) * p;
    }
    return gain;
  }
};

// The rewards that trajectories carry.
struct TaskReward : Rewarder {
  int64_t version() const override { return 7; }
  std::vector<float> Score(const experience::Trajectory& t) const override {
    return t.true_rewards;
  }
};

inline float Normal(KeyedRandom* random) {
  return static_cast<float>(std::sqrt(-2 * std::log(1 - random->Uniform())) *
                            std::cos(2 * M_PI * random->Uniform()));
}

inline std::shared_ptr<const nn::Policy> PolicyOf(const Algorithm& algorithm) {
  auto policy = nn::Policy::FromSnapshot(algorithm.Policy());
  EXPECT_TRUE(policy.ok()) << policy.status();
  return *policy;
}

inline float MeanAction(const nn::Policy& policy, float observation) {
  float action;
  policy.Mean(&observation, &action);
  return action;
}

// 16 episodes of 32 steps from random states.
inline experience::Batch Collect(const LinearTask& task, const Algorithm& algorithm,
                                 uint64_t seed) {
  const auto policy = PolicyOf(algorithm);
  KeyedRandom random(seed, 17);
  experience::Batch batch{0, std::vector<experience::Trajectory>(16)};
  for (experience::Trajectory& t : batch.trajectories) {
    float noise = Normal(&random);
    float state = static_cast<float>(2 * random.Uniform() - 1);
    for (; t.steps < 32; ++t.steps) {
      const float normal = Normal(&random), observation = task.unit * state;
      float action;
      t.log_probs.push_back(policy->Act(&observation, &normal, &noise, &action));
      t.observations.push_back(observation);
      t.actions.push_back(action);
      t.true_rewards.push_back(
          -(task.state_cost * state * state + task.action_cost * action * action));
      state = task.keep * state + task.push * action + task.disturbance * Normal(&random);
    }
    t.episode_ends = {{31, experience::End::kTimeLimit}};
    t.end_observations = t.last_observation = {task.unit * state};
  }
  return batch;
}

inline double MeanReward(const experience::Batch& batch) {
  double sum = 0;
  for (const experience::Trajectory& t : batch.trajectories) {
    for (const float reward : t.true_rewards) sum += reward / (16 * 32);
  }
  return sum;
}

inline absl::StatusOr<Statistics> Learn(const LinearTask& task, uint64_t seed, double progress,
                                        Algorithm* algorithm) {
  const absl::Status observed = algorithm->Observe(Collect(task, *algorithm, seed));
  return observed.ok() ? algorithm->Improve(TaskReward(), progress) : observed;
}

}  // namespace backflip::learn

#endif  // BACKFLIP_TESTS_UNIT_COMMON_LEARN_LINEAR_TASK_H_
