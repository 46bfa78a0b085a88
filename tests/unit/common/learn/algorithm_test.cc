// What holds for every algorithm.
#include "common/learn/algorithm.h"

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "common/learn/torch_runtime.h"
#include "common/options/run_spec.h"
#include "gtest/gtest.h"
#include "tests/unit/common/learn/linear_task.h"

namespace backflip::learn {
namespace {

using experience::Batch;
using experience::End;
using experience::Trajectory;

// A step takes a second.
std::unique_ptr<Algorithm> Make(const v1::RunSpec& spec) {
  SetUpTorch();
  auto algorithm = MakeAlgorithm(spec, {.observation = 1, .action = 1, .step_seconds = 1});
  EXPECT_TRUE(algorithm.ok()) << algorithm.status();
  return *std::move(algorithm);
}

struct NoNumber : TaskReward {
  std::vector<float> Score(const Trajectory& t) const override {
    std::vector<float> rewards = t.true_rewards;
    rewards[1] = NAN;
    return rewards;
  }
};

class EveryAlgorithm : public testing::TestWithParam<v1::Algorithm> {
 protected:
  EveryAlgorithm() {
    spec_.set_algorithm(GetParam());
    v1::Ppo& ppo = *spec_.mutable_ppo();
    ppo.clear_hidden();
    ppo.add_hidden(16);
    ppo.set_discount(0.9);
    ppo.set_minibatch_steps(128);
    ppo.set_learning_rate(3e-3);
    ppo.set_final_learning_rate_share(0.1);
    ppo.set_entropy_bonus(0);
    spec_.mutable_trpo()->set_damping(1e-2);
  }

  // After as many updates, with the progress of a run, or with none.
  std::unique_ptr<Algorithm> Trained(const LinearTask& task, int updates, bool annealed = true) {
    auto algorithm = Make(spec_);
    for (int i = 0; i < updates; ++i) {
      const auto statistics =
          Learn(task, i, annealed ? i / static_cast<double>(updates) : 0, algorithm.get());
      EXPECT_TRUE(statistics.ok()) << statistics.status();
    }
    return algorithm;
  }

  v1::RunSpec spec_ = options::DefaultRunSpec();
};

INSTANTIATE_TEST_SUITE_P(All, EveryAlgorithm, testing::Values(v1::PPO, v1::TRPO),
                         [](const auto& info) { return v1::Algorithm_Name(info.param); });

TEST_P(EveryAlgorithm, SolvesALinearTaskToItsOptimum) {
  const LinearTask task;
  const auto policy = PolicyOf(*Trained(task, 80));
  const double gain = task.BestGain(0.9);
  for (const float state : {-0.5f, 0.5f}) {
    EXPECT_NEAR(MeanAction(*policy, state), -gain * state, 0.1) << "gain " << gain;
  }
}

TEST_P(EveryAlgorithm, UnlearnsWhatItDidAgainstItsOwnNoise) {
  // The next state is the action, and actions cost: the best mean is 0. Noise that is correlated
  // by 0.8 can be foreseen from the state, and is then cancelled.
  const LinearTask task{.keep = 0, .push = 1, .disturbance = 0, .state_cost = 0, .action_cost = 1};
  spec_.mutable_collection()->set_noise_seconds(-1 / std::log(0.8));
  spec_.mutable_trpo()->set_max_kl(0.02);  // as fast as the noise falls
  spec_.mutable_ppo()->set_min_log_std(-0.7);
  const auto at_half = [&](bool annealed) {
    return std::abs(MeanAction(*PolicyOf(*Trained(task, 80, annealed)), 0.5f));
  };
  EXPECT_GT(at_half(false), 0.1);
  EXPECT_LT(at_half(true), 0.05);
}

TEST_P(EveryAlgorithm, PublishesThePolicyThatItTrained) {
  // a hundred times the unit that a network likes, and drifting
  LinearTask task{.unit = 100};
  spec_.mutable_ppo()->set_learning_rate(1e-30);
  spec_.mutable_trpo()->set_max_kl(1e-12);
  auto algorithm = Make(spec_);
  for (int i = 0; i < 4; ++i) {
    const Batch batch = Collect(task, *algorithm, i);
    ASSERT_TRUE(algorithm->Observe(batch).ok());
    const nn::Snapshot snapshot = algorithm->Policy();
    EXPECT_GT(snapshot.tensors.at("observation_std").values[0], 10) << "batch 0 gives the scale";
    const auto before = PolicyOf(*algorithm);
    ASSERT_TRUE(algorithm->Improve(TaskReward(), 0).ok());
    const auto after = PolicyOf(*algorithm);
    const double deviation = std::exp(snapshot.tensors.at("log_std").values[0]);
    double divergence = 0;
    for (const float observation : batch.trajectories[0].observations) {
      const double distance = MeanAction(*after, observation) - MeanAction(*before, observation);
      divergence += distance * distance / (2 * deviation * deviation) / 32;
    }
    EXPECT_LT(divergence, 1e-6);
    task.disturbance += 0.2f;
  }
}

TEST_P(EveryAlgorithm, TakesAFlagAsItIsWhenItIsSetForTheFirstTime) {
  auto algorithm = Make(spec_);
  Batch batch = Collect(LinearTask(), *algorithm, 0);
  for (Trajectory& t : batch.trajectories) t.observations.assign(t.observations.size(), 0);
  ASSERT_TRUE(algorithm->Observe(std::move(batch)).ok());
  const nn::Snapshot snapshot = algorithm->Policy();
  EXPECT_EQ(snapshot.tensors.at("observation_mean").values[0], 0);
  EXPECT_EQ(snapshot.tensors.at("observation_std").values[0], 1);
}

TEST_P(EveryAlgorithm, GoesOnExactlyFromASavedState) {
  const LinearTask task;
  spec_.mutable_collection()->set_noise_seconds(2);
  auto before = Trained(task, 3);
  const auto state = nn::Snapshot::Decode(before->SaveState().Encode());
  ASSERT_TRUE(state.ok()) << state.status();
  auto after = Make(spec_);
  ASSERT_TRUE(after->LoadState(*state).ok());
  EXPECT_EQ(*after->SaveState().Integer("updates"), 3);
  EXPECT_EQ(before->Policy().Encode(), after->Policy().Encode());
  ASSERT_TRUE(Learn(task, 7, 0, before.get()).ok());
  ASSERT_TRUE(Learn(task, 7, 0, after.get()).ok());
  EXPECT_EQ(before->SaveState().Encode(), after->SaveState().Encode());
}

TEST_P(EveryAlgorithm, DependsOnItsSeedOnly) {
  const auto policy = [&] { return Trained({}, 1)->Policy().Encode(); };
  const std::string first = policy();
  EXPECT_EQ(first, policy());
  spec_.set_seed(2);
  EXPECT_NE(first, policy());
}

TEST_P(EveryAlgorithm, KeepsItsDeviationWithinItsBounds) {
  const auto log_std = [&] { return Trained({}, 30)->Policy().tensors.at("log_std").values[0]; };
  spec_.mutable_ppo()->set_min_log_std(-0.6);
  spec_.mutable_ppo()->set_final_min_log_std(-0.6);
  EXPECT_GE(log_std(), -0.6f);
  spec_.mutable_ppo()->set_entropy_bonus(1);
  EXPECT_LE(log_std(), 0);
}

TEST_P(EveryAlgorithm, LearnsNothingFromWhatFollowsADivergence) {
  std::vector<std::string> policies;
  for (const float observation : {0.0f, 0.9f}) {
    auto algorithm = Make(spec_);
    Batch batch = Collect({}, *algorithm, 1);
    for (Trajectory& t : batch.trajectories) {
      t.episode_ends = {{31, End::kDiverged}};
      t.end_observations = {observation};
    }
    ASSERT_TRUE(algorithm->Observe(std::move(batch)).ok());
    ASSERT_TRUE(algorithm->Improve(TaskReward(), 0).ok());
    policies.push_back(algorithm->Policy().Encode());
  }
  EXPECT_EQ(policies[0], policies[1]);
}

TEST_P(EveryAlgorithm, LeavesAForkedPolicyAloneUntilItCanTellItsReturns) {
  const LinearTask task;
  spec_.mutable_ppo()->set_final_min_log_std(spec_.ppo().min_log_std());  // noise costs, too
  const auto origin = Trained(task, 60);
  auto fork = Make(spec_);
  ASSERT_TRUE(fork->BeginFrom(origin->Policy(), 60 * 512).ok());
  EXPECT_NEAR(MeanAction(*PolicyOf(*fork), 0.5f), MeanAction(*PolicyOf(*origin), 0.5f), 1e-5);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Learn(task, 100 + i, 0, fork.get()).ok());
    EXPECT_NEAR(MeanAction(*PolicyOf(*fork), 0.5f), MeanAction(*PolicyOf(*origin), 0.5f), 1e-4);
  }
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Learn(task, 200 + i, 0, fork.get()).ok());
  EXPECT_NE(MeanAction(*PolicyOf(*fork), 0.5f), MeanAction(*PolicyOf(*origin), 0.5f));
  // rewards are costs
  EXPECT_GT(MeanReward(Collect(task, *fork, 9)), 1.1 * MeanReward(Collect(task, *origin, 9)));
}

TEST_P(EveryAlgorithm, NeverMovesAnnealingBack) {
  // the run was continued: what is done is a smaller share of it
  spec_.mutable_collection()->set_noise_seconds(4);
  auto algorithm = Make(spec_);
  const auto correlation = [&] { return *algorithm->Policy().Number("noise_correlation"); };
  EXPECT_NEAR(correlation(), std::exp(-1 / 4.0), 1e-6);
  ASSERT_TRUE(Learn({}, 1, 0.75, algorithm.get()).ok());
  EXPECT_NEAR(correlation(), std::exp(-1 / 1.0), 1e-6);
  ASSERT_TRUE(Learn({}, 1, 0.5, algorithm.get()).ok());
  EXPECT_NEAR(correlation(), std::exp(-1 / 1.0), 1e-6);
}

TEST_P(EveryAlgorithm, NeverPublishesWhatIsNoNumber) {
  spec_.mutable_ppo()->set_learning_rate(0.9);
  spec_.mutable_ppo()->set_max_gradient_norm(1e8);
  spec_.mutable_ppo()->set_reward_scale(1e6 - 1);
  auto algorithm = Make(spec_);
  for (int i = 0; i < 20; ++i) {
    const auto statistics = Learn({}, i, 0, algorithm.get());
    if (!statistics.ok()) {
      EXPECT_EQ(statistics.status().code(), absl::StatusCode::kFailedPrecondition);
      break;
    }
    for (const auto& [name, value] : *statistics) EXPECT_TRUE(std::isfinite(value)) << name;
    const auto decoded = nn::Snapshot::Decode(algorithm->Policy().Encode());
    ASSERT_TRUE(decoded.ok()) << "update " << i << ": " << decoded.status();
  }
}

TEST_P(EveryAlgorithm, SaysWhichOptionsLeaveNoNumber) {
  spec_.mutable_ppo()->set_reward_scale(1e6 - 1);
  auto algorithm = Make(spec_);
  Batch batch = Collect({}, *algorithm, 1);
  ASSERT_TRUE(algorithm->Observe(batch).ok());
  nn::Snapshot state = algorithm->SaveState();
  for (float& weight : state.tensors.at("value.layer1.weight").values) weight = 1e30f;
  ASSERT_TRUE(algorithm->LoadState(state).ok());
  const auto statistics = algorithm->Improve(TaskReward(), 0);
  EXPECT_EQ(statistics.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(statistics.status().message().find("lower ppo.learning_rate ("), std::string::npos);
}

TEST_P(EveryAlgorithm, RefusesBadBatchesAndChangesNothing) {
  auto algorithm = Make(spec_);
  std::string before = algorithm->SaveState().Encode();
  EXPECT_FALSE(algorithm->Observe({}).ok());
  Batch batch = Collect({}, *algorithm, 1);
  batch.trajectories[3].observations.pop_back();
  EXPECT_FALSE(algorithm->Observe(batch).ok());
  batch = Collect({}, *algorithm, 1);
  batch.trajectories[3].actions[2] = NAN;
  EXPECT_FALSE(algorithm->Observe(batch).ok());
  EXPECT_FALSE(algorithm->Improve(TaskReward(), 0).ok()) << "nothing was observed";
  EXPECT_EQ(algorithm->SaveState().Encode(), before);
  ASSERT_TRUE(algorithm->Observe(Collect({}, *algorithm, 1)).ok());
  before = algorithm->SaveState().Encode();
  EXPECT_FALSE(algorithm->Improve(NoNumber(), 0.5).ok());
  nn::Snapshot state = algorithm->SaveState();
  state.tensors.erase("policy.log_std.m");
  EXPECT_FALSE(algorithm->LoadState(state).ok());
  EXPECT_EQ(algorithm->SaveState().Encode(), before);
}

TEST(BlasLibrary, IsTheOneThatServesMatrixProducts) { EXPECT_FALSE(BlasLibrary().empty()); }

}  // namespace
}  // namespace backflip::learn
