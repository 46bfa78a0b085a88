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
  options.set_members(3);
  options.set_l2_penalty(1e-4);
  options.set_adapt_l2_penalty(true);
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

TEST(RewardEnsemble, IsFittedToTrueReturnsWhereTheyAreTheTarget) {
  v1::RewardModel options = Options();
  options.set_target(v1::TRUE_RETURNS);
  auto ensemble = Make(options);
  const auto with_rewards = [](const experience::ClipPointer& clip, float unit) {
    auto told = std::make_shared<Clip>(*clip);
    for (int t = 0; t < kSteps; ++t) {
      told->true_rewards.push_back(unit * TrueReward(&clip->observations[t * kObservations]));
    }
    return told;
  };
  std::vector<experience::ClipPointer> clips;
  std::vector<double> returns;
  for (int i = 0; i < 100; ++i) {
    Comparison label = RandomLabel(i);
    EXPECT_EQ(Make(options)->AddLabel(label).code(), absl::StatusCode::kInvalidArgument);
    label.left_preferred = 1 - label.left_preferred;  // answers say the opposite
    for (experience::ClipPointer* clip : {&label.left, &label.right}) {
      *clip = with_rewards(*clip, 300);  // in any unit
      clips.push_back(*clip);
      returns.push_back(TrueReturn(**clip));
    }
    ASSERT_TRUE(ensemble->AddLabel(label).ok());
  }
  const auto stats = ensemble->Train(300);
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_LT(stats->validation_loss, 0.2) << "of a variance of 1";
  EXPECT_LT(stats->accuracy, 0.2) << "of the answers";
  // the differences of returns are right, too, which comparisons alone do not promise
  const auto learned = ensemble->ClipReturns(clips);
  ASSERT_TRUE(learned.ok());
  double mean = 0, squares = 0, error = 0;
  for (const double value : returns) mean += value / 200;
  for (const double value : returns) squares += (value - mean) * (value - mean) / 200;
  for (int i = 0; i < 200; ++i) {
    error += std::pow((*learned)[i][0] - (returns[i] - mean) / std::sqrt(squares), 2) / 200;
  }
  EXPECT_LT(error, 0.2);
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
  ASSERT_TRUE(after->LoadState(*state, before->updates()).ok());
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

TEST(RewardEnsemble, LearnsTheSameInHoweverManyCalls) {
  auto at_once = Make(), in_parts = Make();
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(at_once->AddLabel(RandomLabel(i)).ok());
    ASSERT_TRUE(in_parts->AddLabel(RandomLabel(i)).ok());
  }
  ASSERT_TRUE(at_once->Train(30).ok());
  for (const int updates : {1, 0, 17, 12}) ASSERT_TRUE(in_parts->Train(updates).ok());
  EXPECT_EQ(at_once->SaveState().Encode(), in_parts->SaveState().Encode());
}

// Labels about clips that come again and again, each of which has a random worth of its own:
// nothing that holds for other clips.
TEST(RewardEnsemble, IsJudgedByClipsThatItNeverSaw) {
  v1::RewardModel options = Options();
  options.set_members(16);
  double accuracy = 0, training = 0;
  constexpr int kSeeds = 20;
  for (int seed = 0; seed < kSeeds; ++seed) {
    KeyedRandom random(seed, 64);
    std::vector<std::shared_ptr<Clip>> clips;
    std::vector<double> worth;
    for (int i = 0; i < 64; ++i) {
      clips.push_back(RandomClip(&random));
      worth.push_back(random.Uniform());
    }
    auto ensemble = Make(options);
    for (int i = 0; i < 175; ++i) {
      Comparison label;
      label.ordinal = i;
      const int64_t left = random.Below(64), right = random.Below(64);
      label.left = clips[left];
      label.right = clips[right];
      label.left_preferred = left == right ? 0.5f : worth[left] > worth[right];
      ASSERT_TRUE(ensemble->AddLabel(label).ok());
    }
    const auto stats = ensemble->Train(150);
    ASSERT_TRUE(stats.ok());
    accuracy += stats->accuracy / kSeeds;
    training += stats->training_loss / kSeeds;
  }
  EXPECT_LT(training, 0.6);  // they are being learned by heart
  EXPECT_NEAR(accuracy, 0.5, 0.05);
}

TEST(RewardEnsemble, ComparesLossesOfTheSameMoment) {
  auto ensemble = Make();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(ensemble->AddLabel(RandomLabel(i)).ok());
  // before the first update both are those of even chances; no update's loss is in them
  const auto before = ensemble->Train(0);
  ASSERT_TRUE(before.ok());
  EXPECT_NEAR(before->training_loss, std::log(2.0), 0.01);
  EXPECT_NEAR(before->validation_loss, std::log(2.0), 0.01);
  const auto after = ensemble->Train(150);
  const auto again = ensemble->Train(0);
  ASSERT_TRUE(after.ok() && again.ok());
  EXPECT_LT(after->training_loss, 0.4);
  EXPECT_EQ(after->training_loss, again->training_loss);
  EXPECT_EQ(after->validation_loss, again->validation_loss);
}

// Clips of `steps` correlated steps of 12 normally distributed observations.
std::shared_ptr<Clip> SmoothClip(int steps, KeyedRandom* random) {
  auto clip = std::make_shared<Clip>();
  clip->steps = steps;
  std::vector<double> state(12);
  for (int t = 0; t <= steps; ++t) {
    for (double& value : state) {
      const double noise = std::sqrt(-2 * std::log(1 - random->Uniform())) *
                           std::cos(2 * std::acos(-1.0) * random->Uniform());
      value = t == 0 ? noise : 0.97 * value + std::sqrt(1 - 0.97 * 0.97) * noise;
      clip->observations.push_back(static_cast<float>(value));
    }
  }
  clip->actions.resize(steps);
  return clip;
}

std::unique_ptr<RewardEnsemble> MakeOfTwelve() {
  SetUpTorch();
  return *RewardEnsemble::Create(options::DefaultRunSpec().reward_model(), false, 1, 12, 1);
}

TEST(RewardEnsemble, BeginsWithEvenChancesWhateverTheLengthOfClips) {
  for (const int steps : {1, 60, 120}) {
    const auto ensemble = MakeOfTwelve();
    KeyedRandom random(3, steps);
    std::vector<experience::ClipPointer> clips;
    for (int i = 0; i < 200; ++i) clips.push_back(SmoothClip(steps, &random));
    const auto returns = ensemble->ClipReturns(clips);
    ASSERT_TRUE(returns.ok());
    int sure = 0;
    for (int i = 0; i < 100; ++i) {
      for (int m = 0; m < 3; ++m) sure += std::abs((*returns)[i][m] - (*returns)[100 + i][m]) > 2;
    }
    EXPECT_LT(sure, 0.05 * 300) << steps;
  }
}

TEST(RewardEnsemble, LearnsFromALabelThatContradictsHoweverSureItIs) {
  v1::RewardModel options = Options();
  options.clear_hidden();
  options.set_uniform_answers(0);
  options.set_held_out(0);
  options.set_l2_penalty(0);
  options.set_adapt_l2_penalty(false);
  options.set_learning_rate(0.1);
  const auto add_labels = [](float left_preferred, RewardEnsemble* ensemble) {
    for (int i = 0; i < 40; ++i) {
      Comparison label = RandomLabel(i);
      const bool as_liked = label.left_preferred == 1;
      label.left_preferred = as_liked ? left_preferred : 1 - left_preferred;
      ASSERT_TRUE(ensemble->AddLabel(label).ok());
    }
  };
  auto sure = Make(options), contradicted = Make(options);
  add_labels(1, sure.get());
  add_labels(0, contradicted.get());
  ASSERT_TRUE(sure->Train(300).ok());
  auto best = std::make_shared<Clip>(), worst = std::make_shared<Clip>();
  for (const auto& [clip, value] : {std::pair{best, 1.0f}, std::pair{worst, -1.0f}}) {
    clip->steps = kSteps;
    for (int i = 0; i <= kSteps; ++i) {
      clip->observations.push_back(value);
      clip->observations.push_back(0);
    }
    clip->actions.resize(kSteps);
  }
  const auto difference = [&](const RewardEnsemble& ensemble) {
    const auto returns = ensemble.ClipReturns({best, worst});
    return (*returns)[0][0] - (*returns)[1][0];
  };
  const double before = difference(*sure);
  ASSERT_GT(before, 40);
  ASSERT_TRUE(contradicted->LoadState(sure->SaveState(), sure->updates()).ok());
  ASSERT_TRUE(contradicted->Train(10).ok());
  EXPECT_LT(difference(*contradicted), before - 2);
}

TEST(RewardEnsemble, IsNotSwayedByAnInputThatWasNeverSeenToChange) {
  // 0 all along, then 1; a joint that was locked, and moves by a thousandth
  for (const auto& [usual, later] : {std::pair{0.0f, 1.0f}, {0.0f, 1e-3f}, {0.3f, 0.301f}}) {
    const auto ensemble = MakeOfTwelve();
    KeyedRandom random(7, 1);
    std::vector<experience::ClipPointer> clips;
    for (int i = 0; i < 120; ++i) {
      const auto clip = SmoothClip(20, &random);
      for (size_t at = 11; at < clip->observations.size(); at += 12) {
        clip->observations[at] = usual;
      }
      clips.push_back(clip);
    }
    ASSERT_TRUE(ensemble->AddCandidates(clips).ok());
    for (int i = 0; i < 60; ++i) {
      Comparison label;
      label.ordinal = i;
      label.left = clips[2 * i];
      label.right = clips[2 * i + 1];
      double left = 0, right = 0;
      for (int t = 0; t < 20; ++t) {
        left += label.left->observations[12 * t];
        right += label.right->observations[12 * t];
      }
      label.left_preferred = left > right;
      ASSERT_TRUE(ensemble->AddLabel(label).ok());
    }
    ASSERT_TRUE(ensemble->Train(150).ok());
    ASSERT_TRUE(ensemble->NormalizeMembers(clips).ok());
    std::vector<float> observations(clips[0]->observations.begin(),
                                    clips[0]->observations.begin() + 20 * 12);
    const auto before = ensemble->Score(observations, std::vector<float>(20));
    for (size_t at = 11; at < observations.size(); at += 12) observations[at] = later;
    const auto after = ensemble->Score(observations, std::vector<float>(20));
    ASSERT_TRUE(before.ok() && after.ok());
    // rewards have a deviation of 1
    for (int t = 0; t < 20; ++t) EXPECT_LT(std::abs((*after)[t] - (*before)[t]), 1) << later;
  }
}

TEST(RewardEnsemble, BelievesComparisonsByTheirWeight) {
  v1::RewardModel options = Options();
  options.set_held_out(0);
  auto ensemble = Make(options);
  const Comparison pair = RandomLabel(0);
  for (int i = 0; i < 90; ++i) {
    // twice as many say right, but each of those is a quarter of an answer
    Comparison label = pair;
    label.ordinal = i;
    label.left_preferred = i % 3 == 0;
    label.weight = i % 3 == 0 ? 1.0f : 0.25f;
    ASSERT_TRUE(ensemble->AddLabel(label).ok());
  }
  ASSERT_TRUE(ensemble->Train(100).ok());
  const auto returns = ensemble->ClipReturns({pair.left, pair.right});
  ASSERT_TRUE(returns.ok());
  for (int m = 0; m < 3; ++m) EXPECT_GT((*returns)[0][m], (*returns)[1][m]);
}

TEST(RewardEnsemble, AdaptsItsL2PenaltyToTheValidationLossOnceAnEpoch) {
  v1::RewardModel options = Options();
  options.set_l2_penalty(1e-3);
  auto ensemble = Make(options);
  // answers that mean nothing: the networks can only learn them by heart
  for (int i = 0; i < 40; ++i) {
    Comparison label = RandomLabel(i);
    label.left_preferred = i % 2;
    ASSERT_TRUE(ensemble->AddLabel(label).ok());
  }
  ASSERT_TRUE(ensemble->Train(100).ok());
  const auto before = ensemble->Train(0);
  // 40 labels are some 3 minibatches of 16: one step up of 5 % at most in this update
  const auto after = ensemble->Train(1);
  ASSERT_TRUE(before.ok() && after.ok());
  EXPECT_GT(before->l2_penalty, 1e-3);
  EXPECT_LE(after->l2_penalty, before->l2_penalty * 1.0501);
  EXPECT_LE(before->l2_penalty, 1e-3 * std::pow(1.05, 100 / 2));
}

TEST(RewardEnsemble, KeepsItsL2PenaltyWhenNoLabelIsHeldOut) {
  v1::RewardModel options = Options();
  options.set_held_out(0);
  auto ensemble = Make(options);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(ensemble->AddLabel(RandomLabel(i)).ok());
  const auto stats = ensemble->Train(100);
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_EQ(stats->validation_loss, 0);
  EXPECT_NEAR(stats->l2_penalty, options.l2_penalty(), 1e-12);
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
  EXPECT_FALSE(ensemble->LoadState(state, 1).ok());
  v1::RewardModel options = Options();
  options.set_members(0);
  EXPECT_FALSE(RewardEnsemble::Create(options, false, 1, 2, 1).ok());
}

}  // namespace
}  // namespace backflip::learn
