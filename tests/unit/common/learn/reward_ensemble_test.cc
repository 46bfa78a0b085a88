#include <cmath>
#include <memory>
#include <vector>

#include "common/learn/random.h"
#include "common/learn/reward/ensemble.h"
#include "common/learn/torch_runtime.h"
#include "common/nn/reward.h"
#include "gtest/gtest.h"

namespace backflip::learn {
namespace {

constexpr int kSteps = 5, kObservations = 2, kActions = 1;

// The teacher likes the first observation.
float TrueReward(const float* observation) { return observation[0]; }

Clip RandomClip(KeyedRandom* random) {
  Clip clip;
  for (int i = 0; i < kSteps * kObservations; ++i) {
    clip.observations.push_back(static_cast<float>(2 * random->Uniform() - 1));
  }
  for (int i = 0; i < kSteps * kActions; ++i) {
    clip.actions.push_back(static_cast<float>(2 * random->Uniform() - 1));
  }
  return clip;
}

double TrueReturn(const Clip& clip) {
  double sum = 0;
  for (int t = 0; t < kSteps; ++t) {
    sum += TrueReward(&clip.observations[t * kObservations]);
  }
  return sum;
}

Label RandomLabel(int64_t ordinal) {
  KeyedRandom random(99, ordinal);
  Label label;
  label.ordinal = ordinal;
  label.left = RandomClip(&random);
  label.right = RandomClip(&random);
  label.left_preferred = TrueReturn(label.left) > TrueReturn(label.right);
  return label;
}

std::unique_ptr<RewardEnsemble> Make(RewardEnsembleConfig config = {}) {
  SetUpTorch();
  config.hidden = {16};
  config.minibatch = 16;
  config.learning_rate = 1e-2;
  auto ensemble = RewardEnsemble::Create(config, kObservations, kActions);
  EXPECT_TRUE(ensemble.ok()) << ensemble.status();
  return *std::move(ensemble);
}

TEST(RewardEnsemble, LearnsWhatTheTeacherLikes) {
  auto ensemble = Make();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(ensemble->AddLabel(RandomLabel(i)).ok());
  }
  const auto stats = ensemble->Train(150);
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_GT(stats->accuracy, 0.85);
  EXPECT_LT(stats->training_loss, 0.5);
  const auto rewards = ensemble->Score({0.8f, 0, -0.8f, 0}, {0, 0});
  ASSERT_TRUE(rewards.ok());
  EXPECT_GT((*rewards)[0], (*rewards)[1]);
}

TEST(RewardEnsemble, LosesLittleByContradictedAnswersWhenSomeAreRandom) {
  // no answer costs more than −ln(n / 2)
  auto ensemble = Make();
  for (int i = 0; i < 60; ++i) {
    Label label = RandomLabel(i);
    if (i % 10 == 0) label.left_preferred = 1 - label.left_preferred;
    ASSERT_TRUE(ensemble->AddLabel(label).ok());
  }
  const auto stats = ensemble->Train(100);
  ASSERT_TRUE(stats.ok());
  EXPECT_LT(stats->validation_loss, -std::log(0.05));
}

TEST(RewardEnsemble, LearnsNothingFromTies) {
  auto ensemble = Make();
  for (int i = 0; i < 60; ++i) {
    Label label = RandomLabel(i);
    label.left_preferred = 0.5f;
    ASSERT_TRUE(ensemble->AddLabel(label).ok());
  }
  const auto stats = ensemble->Train(100);
  ASSERT_TRUE(stats.ok());
  EXPECT_NEAR(stats->training_loss, std::log(2.0), 0.02);
}

TEST(RewardEnsemble, GivesTheSameRewardsToRollouts) {
  auto ensemble = Make();
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(ensemble->AddLabel(RandomLabel(i)).ok());
  }
  ASSERT_TRUE(ensemble->Train(20).ok());
  KeyedRandom random(5, 5);
  const Clip clip = RandomClip(&random);
  ASSERT_TRUE(ensemble->AddObservations(clip.observations).ok());
  ASSERT_TRUE(ensemble->NormalizeMembers(clip.observations, clip.actions).ok());
  const auto rewards = ensemble->Score(clip.observations, clip.actions);
  ASSERT_TRUE(rewards.ok());
  const auto model = nn::RewardModel::FromSnapshot(ensemble->ToSnapshot());
  ASSERT_TRUE(model.ok()) << model.status();
  std::vector<float> same(kSteps), members(3 * kSteps);
  model->Score(clip.observations.data(), clip.actions.data(), kSteps, same.data(), members.data());
  for (int t = 0; t < kSteps; ++t) EXPECT_NEAR(same[t], (*rewards)[t], 1e-4);
  // each member has mean 0 and deviation 1 over what normalised it
  for (int m = 0; m < 3; ++m) {
    double mean = 0, squares = 0;
    for (int t = 0; t < kSteps; ++t) mean += members[m * kSteps + t] / kSteps;
    for (int t = 0; t < kSteps; ++t) {
      squares += std::pow(members[m * kSteps + t] - mean, 2) / kSteps;
    }
    EXPECT_NEAR(mean, 0, 1e-3);
    EXPECT_NEAR(squares, 1, 1e-2);
  }
}

TEST(RewardEnsemble, GoesOnExactlyFromASavedState) {
  auto before = Make();
  auto after = Make();
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(before->AddLabel(RandomLabel(i)).ok());
    ASSERT_TRUE(after->AddLabel(RandomLabel(i)).ok());
  }
  ASSERT_TRUE(before->Train(10).ok());
  const auto state = nn::Snapshot::Decode(before->SaveState().Encode());
  ASSERT_TRUE(state.ok()) << state.status();
  ASSERT_TRUE(after->LoadState(*state).ok());
  ASSERT_TRUE(before->Train(10).ok());
  ASSERT_TRUE(after->Train(10).ok());
  EXPECT_EQ(before->SaveState().Encode(), after->SaveState().Encode());
}

TEST(RewardEnsemble, DrawsTheSameBootstrapsHoweverLabelsArrive) {
  auto at_once = Make();
  auto in_parts = Make();
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(at_once->AddLabel(RandomLabel(i)).ok());
  }
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(in_parts->AddLabel(RandomLabel(i)).ok());
    if (i == 20) {
      ASSERT_TRUE(in_parts->ClipReturns({}).ok());
    }
  }
  ASSERT_TRUE(at_once->Train(5).ok());
  ASSERT_TRUE(in_parts->Train(5).ok());
  EXPECT_EQ(at_once->SaveState().Encode(), in_parts->SaveState().Encode());
}

TEST(RewardEnsemble, AdaptsItsWeightDecayToTheValidationLoss) {
  RewardEnsembleConfig config;
  config.weight_decay = 1e-3;
  auto ensemble = Make(config);
  // answers that mean nothing: the networks can only learn them by heart
  for (int i = 0; i < 40; ++i) {
    Label label = RandomLabel(i);
    label.left_preferred = i % 2;
    ASSERT_TRUE(ensemble->AddLabel(label).ok());
  }
  double decay = 0;
  for (int round = 0; round < 30; ++round) {
    const auto stats = ensemble->Train(10);
    ASSERT_TRUE(stats.ok());
    decay = stats->weight_decay;
  }
  EXPECT_GT(decay, 1e-3);
}

TEST(RewardEnsemble, TrainsOnEveryLabelWhenNoneIsHeldOutOrDrawn) {
  RewardEnsembleConfig config;
  config.bootstrap = false;
  config.held_out = 0;
  auto ensemble = Make(config);
  // one label is enough for every member to train on
  ASSERT_TRUE(ensemble->AddLabel(RandomLabel(0)).ok());
  const auto stats = ensemble->Train(100);
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_EQ(stats->validation_loss, 0);
  EXPECT_NEAR(stats->weight_decay, config.weight_decay, 1e-12);
}

TEST(RewardEnsemble, RefusesWhatDoesNotFitAndChangesNothing) {
  auto ensemble = Make();
  EXPECT_FALSE(ensemble->Train(1).ok());  // no labels yet
  ASSERT_TRUE(ensemble->AddLabel(RandomLabel(0)).ok());
  Label shorter = RandomLabel(1);
  shorter.left.observations.resize(4 * kObservations);
  shorter.left.actions.resize(4 * kActions);
  EXPECT_FALSE(ensemble->AddLabel(shorter).ok());
  Label infinite = RandomLabel(1);
  infinite.right.actions[0] = INFINITY;
  EXPECT_FALSE(ensemble->AddLabel(infinite).ok());
  Label doubtful = RandomLabel(1);
  doubtful.left_preferred = 1.5f;
  EXPECT_FALSE(ensemble->AddLabel(doubtful).ok());
  EXPECT_EQ(ensemble->labels(), 1);
  EXPECT_FALSE(ensemble->Score({1, 2, 3}, {0}).ok());
  nn::Snapshot state = ensemble->SaveState();
  state.tensors.erase("networks.layer0.weight");
  EXPECT_FALSE(ensemble->LoadState(state).ok());
  RewardEnsembleConfig config;
  config.members = 0;
  EXPECT_FALSE(RewardEnsemble::Create(config, 2, 1).ok());
}

}  // namespace
}  // namespace backflip::learn
