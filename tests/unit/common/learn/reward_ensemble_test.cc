#include <cmath>
#include <memory>
#include <vector>

#include "common/learn/random.h"
#include "common/learn/reward/ensemble.h"
#include "common/learn/torch_runtime.h"
#include "common/nn/reward.h"
#include "common/options/run_spec.h"
#include "gtest/gtest.h"

namespace backflip::learn {
namespace {

using experience::Clip;
using experience::Comparison;

constexpr int kSteps = 5, kObservations = 2, kActions = 1;

// The teacher likes the first observation.
float TrueReward(const float* observation) { return observation[0]; }

std::shared_ptr<Clip> RandomClip(KeyedRandom* random) {
  auto clip = std::make_shared<Clip>();
  clip->steps = kSteps;
  for (int i = 0; i < kSteps * kObservations; ++i) {
    clip->observations.push_back(static_cast<float>(2 * random->Uniform() - 1));
  }
  clip->observations.resize((kSteps + 1) * kObservations, 7);  // not rewarded
  for (int i = 0; i < kSteps * kActions; ++i) {
    clip->actions.push_back(static_cast<float>(2 * random->Uniform() - 1));
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

Comparison RandomLabel(int64_t ordinal) {
  KeyedRandom random(99, ordinal);
  Comparison label;
  label.ordinal = ordinal;
  label.left = RandomClip(&random);
  label.right = RandomClip(&random);
  label.left_preferred = TrueReturn(*label.left) > TrueReturn(*label.right);
  return label;
}

v1::RewardModel Options() {
  v1::RewardModel options = options::DefaultRunSpec().reward_model();
  options.clear_hidden();
  options.add_hidden(16);
  options.set_minibatch_labels(16);
  options.set_learning_rate(1e-2);
  return options;
}

std::unique_ptr<RewardEnsemble> Make(const v1::RewardModel& options = Options()) {
  SetUpTorch();
  auto ensemble = RewardEnsemble::Create(options, /*learn_reliability=*/false, /*seed=*/1,
                                         kObservations, kActions);
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
    Comparison label = RandomLabel(i);
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
    Comparison label = RandomLabel(i);
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
  const std::shared_ptr<Clip> shown = RandomClip(&random);
  ASSERT_TRUE(ensemble->AddCandidates({shown}).ok());
  ASSERT_TRUE(ensemble->NormalizeMembers({shown}).ok());
  Clip clip = *shown;
  clip.observations.resize(kSteps * kObservations);
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
  v1::RewardModel options = Options();
  options.set_weight_decay(1e-3);
  auto ensemble = Make(options);
  // answers that mean nothing: the networks can only learn them by heart
  for (int i = 0; i < 40; ++i) {
    Comparison label = RandomLabel(i);
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

TEST(RewardEnsemble, KeepsItsWeightDecayWhenNoLabelIsHeldOut) {
  v1::RewardModel options = Options();
  options.set_held_out(0);
  auto ensemble = Make(options);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(ensemble->AddLabel(RandomLabel(i)).ok());
  const auto stats = ensemble->Train(100);
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_EQ(stats->validation_loss, 0);
  EXPECT_NEAR(stats->weight_decay, options.weight_decay(), 1e-12);
}

TEST(RewardEnsemble, RefusesWhatDoesNotFitAndChangesNothing) {
  auto ensemble = Make();
  EXPECT_FALSE(ensemble->Train(1).ok());  // no labels yet
  ASSERT_TRUE(ensemble->AddLabel(RandomLabel(0)).ok());
  KeyedRandom random(99, 1);
  Comparison shorter = RandomLabel(1);
  const auto short_clip = RandomClip(&random);
  short_clip->steps = 4;
  short_clip->observations.resize(5 * kObservations);
  short_clip->actions.resize(4 * kActions);
  shorter.left = short_clip;
  EXPECT_FALSE(ensemble->AddLabel(shorter).ok());
  Comparison infinite = RandomLabel(1);
  const auto infinite_clip = RandomClip(&random);
  infinite_clip->actions[0] = INFINITY;
  infinite.right = infinite_clip;
  EXPECT_FALSE(ensemble->AddLabel(infinite).ok());
  Comparison doubtful = RandomLabel(1);
  doubtful.left_preferred = 1.5f;
  EXPECT_FALSE(ensemble->AddLabel(doubtful).ok());
  EXPECT_EQ(ensemble->labels(), 1);
  EXPECT_FALSE(ensemble->Score({1, 2, 3}, {0}).ok());
  nn::Snapshot state = ensemble->SaveState();
  state.tensors.erase("networks.layer0.weight");
  EXPECT_FALSE(ensemble->LoadState(state).ok());
  v1::RewardModel options = Options();
  options.set_members(0);
  EXPECT_FALSE(RewardEnsemble::Create(options, false, 1, 2, 1).ok());
}

}  // namespace
}  // namespace backflip::learn
