#include "common/method/ensemble_fitter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

#include "common/options/run_spec.h"

namespace backflip::method {
namespace {

using experience::Clip;
using experience::ClipPointer;
using experience::Comparison;

constexpr int kSteps = 5, kObservations = 2;

v1::RunSpec Spec() {
  v1::RunSpec spec = options::DefaultRunSpec();
  v1::RewardModel& model = *spec.mutable_reward_model();
  model.clear_hidden();
  model.add_hidden(16);
  model.set_minibatch_labels(16);
  model.set_updates_per_label(1.5);
  model.set_updates_per_batch(10);
  model.set_l2_penalty(1e-4);
  return spec;
}

// Clips whose true reward is the first observation.
class EnsembleFitterTest : public testing::Test {
 protected:
  EnsembleFitterTest() {
    for (int i = 0; i < 120; ++i) candidates_.push_back(RandomClip());
    for (int i = 0; i < 80; ++i) comparisons_.push_back(Compare(i, RandomClip(), RandomClip()));
  }

  ClipPointer RandomClip() {
    std::normal_distribution<float> normal;
    auto clip = std::make_shared<Clip>();
    clip->steps = kSteps;
    for (int i = 0; i < kSteps * kObservations; ++i) clip->observations.push_back(normal(random_));
    clip->observations.resize((kSteps + 1) * kObservations);
    for (int i = 0; i < kSteps; ++i) clip->actions.push_back(normal(random_));
    return clip;
  }
  static double TrueReturn(const Clip& clip) {
    double sum = 0;
    for (int t = 0; t < kSteps; ++t) sum += clip.observations[t * kObservations];
    return sum;
  }
  static Comparison Compare(int64_t ordinal, ClipPointer first, ClipPointer second) {
    const float preferred = TrueReturn(*first) > TrueReturn(*second) ? 1.0f : 0.0f;
    return {100 + ordinal, ordinal, std::move(first), std::move(second), preferred};
  }
  std::vector<Comparison> Labels(int count) const {
    return {comparisons_.begin(), comparisons_.begin() + count};
  }
  std::unique_ptr<EnsembleFitter> Fitter() const {
    auto fitter = EnsembleFitter::Create(Spec(), kObservations, 1);
    EXPECT_TRUE(fitter.ok()) << fitter.status();
    (*fitter)->AddCandidates(candidates_);
    return *std::move(fitter);
  }
  std::string Published(const EnsembleFitter& fitter) const {
    return fitter.ensemble().ToSnapshot().Encode();
  }

  std::mt19937 random_{1};
  std::vector<ClipPointer> candidates_;
  std::vector<Comparison> comparisons_;
};

TEST_F(EnsembleFitterTest, LearnsWhatTheLabelsPrefer) {
  const auto fitter = Fitter();
  ASSERT_TRUE(fitter->Fit(comparisons_, 1, candidates_, nullptr).ok());
  for (int round = 0; round < 20; ++round) {
    ASSERT_TRUE(fitter->Fit(comparisons_, 1, candidates_, nullptr).ok());
  }
  const auto rewards = fitter->ensemble().Score({2, 0, -2, 0}, {0, 0});
  ASSERT_TRUE(rewards.ok());
  EXPECT_GT((*rewards)[0], (*rewards)[1] + 0.5);
}

TEST_F(EnsembleFitterTest, TrainsForEachNewLabelAndForEachBatch) {
  const auto fitter = Fitter();
  ASSERT_TRUE(fitter->Fit(Labels(40), 3, candidates_, nullptr).ok());
  EXPECT_EQ(fitter->updates(), 60);
  ASSERT_TRUE(fitter->Fit(Labels(51), 0, candidates_, nullptr).ok());
  EXPECT_EQ(fitter->updates(), 76);
  ASSERT_TRUE(fitter->Fit(Labels(51), 2, candidates_, nullptr).ok());
  EXPECT_EQ(fitter->updates(), 96);
  EXPECT_EQ(fitter->labels(), 51);
}

TEST_F(EnsembleFitterTest, TrainsAsMuchHoweverManyLabelsComeAtATime) {
  const auto one_by_one = Fitter(), at_once = Fitter();
  for (const auto& fitter : {one_by_one.get(), at_once.get()}) {
    ASSERT_TRUE(fitter->Fit(Labels(10), 1, candidates_, nullptr).ok());
  }
  for (int labels = 11; labels <= 80; ++labels) {
    ASSERT_TRUE(one_by_one->Fit(Labels(labels), labels % 14 == 0, candidates_, nullptr).ok());
  }
  ASSERT_TRUE(at_once->Fit(Labels(80), 5, candidates_, nullptr).ok());
  EXPECT_EQ(one_by_one->updates(), at_once->updates());
}

TEST_F(EnsembleFitterTest, RestsOnceNoNewLabelsCome) {
  const auto fitter = Fitter();
  ASSERT_TRUE(fitter->Fit(Labels(40), 1, candidates_, nullptr).ok());
  for (int batch = 0; batch < 20; ++batch) {
    ASSERT_TRUE(fitter->Fit(Labels(40), 1, candidates_, nullptr).ok());
  }
  EXPECT_EQ(fitter->updates(), 2 * 60);
  // and neither do the candidates of new batches change the reward then
  const std::string rested = Published(*fitter);
  fitter->AddCandidates({RandomClip(), RandomClip()});
  ASSERT_TRUE(fitter->Fit(Labels(40), 1, candidates_, nullptr).ok());
  EXPECT_EQ(Published(*fitter), rested);
  // a new label wakes it
  ASSERT_TRUE(fitter->Fit(Labels(41), 1, candidates_, nullptr).ok());
  EXPECT_EQ(fitter->updates(), 2 * 60 + 1 + 10);
}

TEST_F(EnsembleFitterTest, TakesARankingForOneLabel) {
  std::vector<Comparison> ranking = Labels(40);
  for (int i = 0; i < 3; ++i) {
    ranking.push_back(comparisons_[40 + i]);
    ranking.back().label_id = 999;
  }
  const auto fitter = Fitter();
  ASSERT_TRUE(fitter->Fit(ranking, 1, candidates_, nullptr).ok());
  EXPECT_EQ(fitter->labels(), 41);
  EXPECT_EQ(fitter->ensemble().labels(), 43);
  EXPECT_TRUE(fitter->FittedTo(ranking));
}

TEST_F(EnsembleFitterTest, GoesOnFromACheckpointAsIfNothingHadHappened) {
  const auto whole = Fitter();
  ASSERT_TRUE(whole->Fit(Labels(40), 1, candidates_, nullptr).ok());
  ASSERT_TRUE(whole->Fit(Labels(60), 1, candidates_, nullptr).ok());
  const nn::Snapshot state = whole->ensemble().SaveState();

  const auto restarted = EnsembleFitter::Create(Spec(), kObservations, 1);
  ASSERT_TRUE(restarted.ok());
  ASSERT_TRUE((*restarted)->Load(state, whole->updates(), whole->idle_updates(), Labels(60)).ok());
  for (const int labels : {70, 80}) {
    ASSERT_TRUE(whole->Fit(Labels(labels), 1, candidates_, nullptr).ok());
    ASSERT_TRUE((*restarted)->Fit(Labels(labels), 1, candidates_, nullptr).ok());
  }
  EXPECT_EQ(Published(*whole), Published(**restarted));
}

TEST_F(EnsembleFitterTest, BeginsAnewWhenAFittedLabelIsTakenBack) {
  const auto fitter = Fitter();
  ASSERT_TRUE(fitter->Fit(Labels(40), 1, candidates_, nullptr).ok());
  std::vector<Comparison> standing = Labels(40);
  standing.erase(standing.begin() + 7);
  EXPECT_FALSE(fitter->FittedTo(standing));
  ASSERT_TRUE(fitter->Fit(standing, 1, candidates_, nullptr).ok());
  EXPECT_TRUE(fitter->FittedTo(standing));

  // exactly as if the label had never been
  const auto fresh = Fitter();
  ASSERT_TRUE(fresh->Fit(standing, 1, candidates_, nullptr).ok());
  EXPECT_EQ(Published(*fitter), Published(*fresh));
}

TEST_F(EnsembleFitterTest, SaysThatThereAreNoLabels) {
  const auto fitter = Fitter();
  EXPECT_EQ(fitter->Fit({}, 1, candidates_, nullptr).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(fitter->fitted());
}

TEST_F(EnsembleFitterTest, StopsWhenAsked) {
  const auto fitter = Fitter();
  EXPECT_EQ(fitter->Fit(comparisons_, 1, candidates_, [] { return true; }).status().code(),
            absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace backflip::method
