#include "common/learn/ppo/ppo.h"

#include <cmath>
#include <memory>
#include <vector>

#include "common/learn/random.h"
#include "common/learn/torch_runtime.h"
#include "common/nn/policy.h"
#include "common/options/run_spec.h"
#include "gtest/gtest.h"

namespace backflip::learn {
namespace {

using experience::Batch;
using experience::Trajectory;

v1::RunSpec Spec() {
  v1::RunSpec spec = options::DefaultRunSpec();
  v1::Ppo& ppo = *spec.mutable_ppo();
  ppo.clear_hidden();
  ppo.add_hidden(16);
  ppo.set_minibatch_steps(64);
  ppo.set_learning_rate(3e-3);
  ppo.set_entropy_bonus(0);
  return spec;
}

std::unique_ptr<Algorithm> Make(const v1::RunSpec& spec = Spec()) {
  SetUpTorch();
  auto ppo = MakePpo(spec, {.observation = 1, .action = 1});
  EXPECT_TRUE(ppo.ok()) << ppo.status();
  return *std::move(ppo);
}

// The best action equals the observation.
struct Closeness : Rewarder {
  int64_t version() const override { return 7; }
  std::vector<float> Score(const Trajectory& t) const override {
    std::vector<float> rewards;
    for (int step = 0; step < t.steps; ++step) {
      const float distance = t.actions[step] - t.observations[step];
      rewards.push_back(-distance * distance);
    }
    return rewards;
  }
};

struct NoNumber : Closeness {
  std::vector<float> Score(const Trajectory& t) const override {
    std::vector<float> rewards = Closeness::Score(t);
    rewards[1] = NAN;
    return rewards;
  }
};

float Normal(KeyedRandom* random) {
  return static_cast<float>(std::sqrt(-2 * std::log(1 - random->Uniform())) *
                            std::cos(2 * M_PI * random->Uniform()));
}

// Episodes of 16 steps in which the observation is random. `reward`: their mean.
Batch Collect(const Algorithm& ppo, uint64_t seed, double* reward) {
  const auto policy = nn::Policy::FromSnapshot(ppo.Policy());
  EXPECT_TRUE(policy.ok()) << policy.status();
  KeyedRandom random(seed, 17);
  Batch batch{0, std::vector<Trajectory>(16)};
  *reward = 0;
  for (Trajectory& t : batch.trajectories) {
    float noise = Normal(&random);
    for (; t.steps < 16; ++t.steps) {
      const float observation = static_cast<float>(2 * random.Uniform() - 1);
      const float normal = Normal(&random);
      float action;
      t.log_probs.push_back((*policy)->Act(&observation, &normal, &noise, &action));
      t.observations.push_back(observation);
      t.actions.push_back(action);
    }
    t.episode_ends = {{15, experience::End::kTimeLimit}};
    t.end_observations = {0};
    t.last_observation = {0};
    for (const float r : Closeness().Score(t)) *reward += r / 256;
  }
  return batch;
}

absl::StatusOr<Statistics> Update(Algorithm* ppo, Batch batch) {
  const absl::Status observed = ppo->Observe(std::move(batch));
  return observed.ok() ? ppo->Improve(Closeness(), 0) : observed;
}

TEST(Ppo, LearnsWhatPays) {
  v1::RunSpec spec = Spec();
  spec.mutable_ppo()->set_discount(0);
  auto ppo = Make(spec);
  double first = 0, reward = 0;
  Collect(*ppo, 1, &first);
  for (int i = 0; i < 40; ++i) {
    const auto statistics = Update(ppo.get(), Collect(*ppo, i, &reward));
    ASSERT_TRUE(statistics.ok()) << statistics.status();
  }
  Collect(*ppo, 1, &reward);
  EXPECT_LT(first, -0.5);
  EXPECT_GT(reward, -0.25);
}

TEST(Ppo, KeepsItsDeviationAboveTheFloor) {
  v1::RunSpec spec = Spec();
  spec.mutable_ppo()->set_discount(0);
  spec.mutable_ppo()->set_min_log_std(-0.6);
  auto ppo = Make(spec);
  double reward;
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(Update(ppo.get(), Collect(*ppo, i, &reward)).ok());
  }
  EXPECT_GE(ppo->Policy().tensors.at("log_std").values[0], -0.6f);
}

TEST(Ppo, GoesOnExactlyFromASavedState) {
  auto before = Make();
  double reward;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Update(before.get(), Collect(*before, i, &reward)).ok());
  }
  const auto state = nn::Snapshot::Decode(before->SaveState().Encode());
  ASSERT_TRUE(state.ok()) << state.status();
  auto after = Make();
  ASSERT_TRUE(after->LoadState(*state).ok());
  EXPECT_EQ(*after->SaveState().Integer("updates"), 3);
  ASSERT_TRUE(Update(before.get(), Collect(*before, 7, &reward)).ok());
  ASSERT_TRUE(Update(after.get(), Collect(*after, 7, &reward)).ok());
  EXPECT_EQ(before->SaveState().Encode(), after->SaveState().Encode());
}

TEST(Ppo, DependsOnItsSeedOnly) {
  EXPECT_EQ(Make()->Policy().Encode(), Make()->Policy().Encode());
  v1::RunSpec other = Spec();
  other.set_seed(2);
  EXPECT_NE(Make()->Policy().Encode(), Make(other)->Policy().Encode());
}

TEST(Ppo, AgreesWithTheRolloutOnTheProbabilityOfAnAction) {
  // else the first epoch's ratios would not be near 1
  v1::RunSpec spec = Spec();
  spec.mutable_ppo()->set_epochs(1);
  spec.mutable_ppo()->set_minibatch_steps(256);
  auto one_epoch = Make(spec);
  double reward;
  const auto statistics = Update(one_epoch.get(), Collect(*one_epoch, 1, &reward));
  ASSERT_TRUE(statistics.ok());
  EXPECT_LT(statistics->at("kl"), 0.01);
  EXPECT_LT(statistics->at("clipped"), 0.05);
}

TEST(Ppo, LearnsNothingFromWhatFollowsADivergence) {
  std::vector<std::string> policies;
  for (const float observation : {0.0f, 0.9f}) {
    auto ppo = Make();
    double reward;
    Batch batch = Collect(*ppo, 1, &reward);
    for (Trajectory& t : batch.trajectories) {
      t.episode_ends = {{15, experience::End::kDiverged}};
      t.end_observations = {observation};
    }
    ASSERT_TRUE(Update(ppo.get(), std::move(batch)).ok());
    policies.push_back(ppo->Policy().Encode());
  }
  EXPECT_EQ(policies[0], policies[1]);
}

TEST(Ppo, RefusesBadBatchesAndChangesNothing) {
  auto ppo = Make();
  double reward;
  const std::string before = ppo->SaveState().Encode();
  EXPECT_FALSE(ppo->Observe({}).ok());
  Batch batch = Collect(*ppo, 1, &reward);
  batch.trajectories[3].observations.pop_back();
  EXPECT_FALSE(ppo->Observe(batch).ok());
  batch = Collect(*ppo, 1, &reward);
  batch.trajectories[3].actions[2] = NAN;
  EXPECT_FALSE(ppo->Observe(batch).ok());
  EXPECT_FALSE(ppo->Improve(Closeness(), 0).ok()) << "nothing was observed";
  ASSERT_TRUE(ppo->Observe(Collect(*ppo, 1, &reward)).ok());
  EXPECT_FALSE(ppo->Improve(NoNumber(), 0).ok());
  nn::Snapshot state = ppo->SaveState();
  state.tensors.erase("policy.log_std.m");
  EXPECT_FALSE(ppo->LoadState(state).ok());
  EXPECT_EQ(ppo->SaveState().Encode(), before);
}

TEST(BlasLibrary, IsTheOneThatServesMatrixProducts) { EXPECT_FALSE(BlasLibrary().empty()); }

}  // namespace
}  // namespace backflip::learn
