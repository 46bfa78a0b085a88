#include "common/learn/ppo/ppo.h"

#include <cmath>
#include <memory>
#include <vector>

#include "common/learn/random.h"
#include "common/learn/torch_runtime.h"
#include "common/nn/policy.h"
#include "gtest/gtest.h"

namespace backflip::learn {
namespace {

std::unique_ptr<Ppo> Make(PpoConfig config = {}) {
  SetUpTorch();
  config.hidden = {16};
  config.minibatch = 64;
  config.learning_rate = 3e-3;
  auto ppo = Ppo::Create(config, /*observation_size=*/1, /*action_size=*/1);
  EXPECT_TRUE(ppo.ok()) << ppo.status();
  return *std::move(ppo);
}

float Normal(KeyedRandom* random) {
  return static_cast<float>(std::sqrt(-2 * std::log(1 - random->Uniform())) *
                            std::cos(2 * M_PI * random->Uniform()));
}

// Episodes of 16 steps in which the observation is random and the best action
// equals it.
std::vector<Trajectory> Collect(const Ppo& ppo, uint64_t seed, double* reward) {
  const auto policy = nn::Policy::FromSnapshot(ppo.ToSnapshot());
  EXPECT_TRUE(policy.ok()) << policy.status();
  KeyedRandom random(seed, 17);
  std::vector<Trajectory> batch(16);
  *reward = 0;
  for (Trajectory& t : batch) {
    float noise = Normal(&random);
    for (int step = 0; step < 16; ++step) {
      const float observation = static_cast<float>(2 * random.Uniform() - 1);
      const float normal = Normal(&random);
      float action;
      t.log_probabilities.push_back((*policy)->Act(&observation, &normal, &noise, &action));
      t.observations.push_back(observation);
      t.actions.push_back(action);
      t.rewards.push_back(-(action - observation) * (action - observation));
      *reward += t.rewards.back() / 256;
    }
    t.observations.push_back(0);
    t.episode_ended = true;
  }
  return batch;
}

TEST(Ppo, LearnsWhatPays) {
  PpoConfig config;
  config.gamma = 0;
  auto ppo = Make(config);
  double first = 0, reward = 0;
  Collect(*ppo, 1, &first);
  for (int i = 0; i < 40; ++i) {
    const auto stats = ppo->Update(Collect(*ppo, i, &reward));
    ASSERT_TRUE(stats.ok()) << stats.status();
  }
  Collect(*ppo, 1, &reward);
  EXPECT_LT(first, -0.5);
  EXPECT_GT(reward, -0.25);
}

TEST(Ppo, KeepsItsDeviationAboveTheFloor) {
  PpoConfig config;
  config.gamma = 0;
  config.log_std_floor = -0.6;
  auto ppo = Make(config);
  double reward;
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(ppo->Update(Collect(*ppo, i, &reward)).ok());
  }
  EXPECT_GE(ppo->ToSnapshot().tensors.at("log_std").values[0], -0.6f);
}

TEST(Ppo, GoesOnExactlyFromASavedState) {
  auto before = Make();
  double reward;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(before->Update(Collect(*before, i, &reward)).ok());
  }
  const auto state = nn::Snapshot::Decode(before->SaveState().Encode());
  ASSERT_TRUE(state.ok()) << state.status();
  auto after = Make();
  ASSERT_TRUE(after->LoadState(*state).ok());
  EXPECT_EQ(after->updates(), 3);
  ASSERT_TRUE(before->Update(Collect(*before, 7, &reward)).ok());
  ASSERT_TRUE(after->Update(Collect(*after, 7, &reward)).ok());
  EXPECT_EQ(before->SaveState().Encode(), after->SaveState().Encode());
}

TEST(Ppo, DependsOnItsSeedOnly) {
  EXPECT_EQ(Make()->ToSnapshot().Encode(), Make()->ToSnapshot().Encode());
  PpoConfig other;
  other.seed = 2;
  EXPECT_NE(Make()->ToSnapshot().Encode(), Make(other)->ToSnapshot().Encode());
}

TEST(Ppo, AgreesWithTheRolloutOnTheProbabilityOfAnAction) {
  // else the first epoch's ratios would not be near 1
  auto ppo = Make();
  double reward;
  PpoConfig config;
  config.epochs = 1;
  config.minibatch = 256;
  auto one_epoch = Make(config);
  const auto stats = one_epoch->Update(Collect(*one_epoch, 1, &reward));
  ASSERT_TRUE(stats.ok());
  EXPECT_LT(stats->kl, 0.01);
  EXPECT_LT(stats->clipped, 0.05);
}

TEST(Ppo, RefusesBadBatchesAndChangesNothing) {
  auto ppo = Make();
  double reward;
  const std::string before = ppo->SaveState().Encode();
  EXPECT_FALSE(ppo->Update({}).ok());
  std::vector<Trajectory> batch = Collect(*ppo, 1, &reward);
  batch[3].observations.pop_back();
  EXPECT_FALSE(ppo->Update(batch).ok());
  batch = Collect(*ppo, 1, &reward);
  batch[2].rewards[1] = NAN;
  EXPECT_FALSE(ppo->Update(batch).ok());
  nn::Snapshot state = ppo->SaveState();
  state.tensors.erase("policy.log_std.m");
  EXPECT_FALSE(ppo->LoadState(state).ok());
  EXPECT_EQ(ppo->SaveState().Encode(), before);
}

TEST(Ppo, NamesTheOptionThatIsOutOfRange) {
  PpoConfig config;
  config.noise_correlation = 1;
  const auto ppo = Ppo::Create(config, 1, 1);
  ASSERT_FALSE(ppo.ok());
  EXPECT_NE(ppo.status().message().find("noise_correlation"), absl::string_view::npos);
}

TEST(FindBlas, NamesTheLibraryThatServesMatrixProducts) {
  EXPECT_FALSE(FindBlas().library.empty());
}

}  // namespace
}  // namespace backflip::learn
