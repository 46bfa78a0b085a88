// What the safetensors files promise: Python loads a policy and a reward, and
// reproduces what a worker would do and what a trainer's ensemble would say.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "common/learn/algorithm.h"
#include "common/learn/reward/ensemble.h"
#include "common/method/run_reward.h"
#include "common/nn/policy.h"
#include "common/nn/snapshot.h"
#include "common/options/run_spec.h"

namespace backflip {
namespace {

constexpr int kObservations = 5;
constexpr int kActions = 2;
constexpr int kSteps = 64;

std::vector<float> Draw(std::mt19937* random, int n, float mean, float deviation) {
  std::normal_distribution<float> normal(mean, deviation);
  std::vector<float> values(n);
  for (float& value : values) value = normal(*random);
  return values;
}

void WriteFile(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

void WriteFloats(const std::filesystem::path& path, const std::vector<float>& values) {
  WriteFile(path, std::string(reinterpret_cast<const char*>(values.data()),
                              values.size() * sizeof(float)));
}

std::vector<float> ReadFloats(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  std::vector<float> values(bytes.size() / sizeof(float));
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(values.data()));
  return values;
}

void ExpectClose(const std::vector<float>& actual, const std::vector<float>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i)
    EXPECT_NEAR(actual[i], expected[i], 2e-4) << "at " << i;
}

TEST(Snapshots, PythonReproducesActionsAndRewards) {
  std::mt19937 random(7);
  // far from standard, so that a forgotten normaliser is seen
  const std::vector<float> observations = Draw(&random, kSteps * kObservations, 3, 2);
  const std::vector<float> actions = Draw(&random, kSteps * kActions, 0, 1.5);

  // a policy that has learned something, so that mean and scale matter
  v1::RunSpec spec = options::DefaultRunSpec();
  spec.mutable_collection()->set_noise_seconds(0);
  spec.mutable_ppo()->set_hidden(0, 8);
  spec.mutable_ppo()->set_hidden(1, 8);
  spec.mutable_ppo()->set_minibatch_steps(16);
  const auto algorithm = learn::MakeAlgorithm(spec, {kObservations, kActions});
  ASSERT_TRUE(algorithm.ok()) << algorithm.status();
  experience::Trajectory trajectory;
  trajectory.steps = kSteps;
  trajectory.observations = Draw(&random, kSteps * kObservations, 3, 2);
  trajectory.last_observation = Draw(&random, kObservations, 3, 2);
  trajectory.actions = actions;
  trajectory.log_probs = Draw(&random, kSteps, -2, 0.1);
  trajectory.true_rewards = Draw(&random, kSteps, 0, 1);
  ASSERT_TRUE((*algorithm)->Observe({0, {trajectory}}).ok());
  ASSERT_TRUE((*algorithm)->Improve(method::RunReward(nullptr), 0).ok());

  v1::RewardModel options = options::DefaultRunSpec().reward_model();
  options.clear_hidden();
  options.add_hidden(8);
  auto ensemble = learn::RewardEnsemble::Create(options, false, 1, kObservations, kActions);
  ASSERT_TRUE(ensemble.ok()) << ensemble.status();
  experience::Clip all{.steps = kSteps, .observations = observations, .actions = actions};
  all.observations.resize((kSteps + 1) * kObservations);
  const auto candidate = std::make_shared<const experience::Clip>(std::move(all));
  ASSERT_TRUE((*ensemble)->AddCandidates({candidate}).ok());
  for (int i = 0; i < 20; ++i) {
    experience::Comparison label;
    label.ordinal = i;
    for (experience::ClipPointer* clip : {&label.left, &label.right}) {
      *clip = std::make_shared<const experience::Clip>(
          experience::Clip{.steps = 4,
                           .observations = Draw(&random, 5 * kObservations, 3, 2),
                           .actions = Draw(&random, 4 * kActions, 0, 1)});
    }
    label.left_preferred = i % 2;
    ASSERT_TRUE((*ensemble)->AddLabel(label).ok());
  }
  ASSERT_TRUE((*ensemble)->Train(5).ok());
  ASSERT_TRUE((*ensemble)->NormalizeMembers({candidate}).ok());

  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / "safetensors_test";
  std::filesystem::create_directories(folder);
  const nn::Snapshot policy_snapshot = (*algorithm)->Policy();
  WriteFile(folder / "policy.safetensors", policy_snapshot.Encode());
  WriteFile(folder / "reward.safetensors", (*ensemble)->ToSnapshot().Encode());
  WriteFloats(folder / "observations", observations);
  WriteFloats(folder / "actions", actions);

  const std::string command = std::string(PYTHON) + " " + SCRIPT + " " + folder.string();
  ASSERT_EQ(std::system(command.c_str()), 0) << command;

  const auto policy = nn::Policy::FromSnapshot(policy_snapshot);
  ASSERT_TRUE(policy.ok()) << policy.status();
  std::vector<float> expected(kSteps * kActions);
  for (int i = 0; i < kSteps; ++i) {
    (*policy)->Mean(&observations[i * kObservations], &expected[i * kActions]);
  }
  ExpectClose(ReadFloats(folder / "policy_actions"), expected);
  const auto rewards = (*ensemble)->Score(observations, actions);
  ASSERT_TRUE(rewards.ok()) << rewards.status();
  ExpectClose(ReadFloats(folder / "rewards"), *rewards);
}

}  // namespace
}  // namespace backflip
