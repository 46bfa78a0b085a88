#include <cmath>
#include <vector>

#include "common/nn/normalizer.h"
#include "common/nn/policy.h"
#include "common/nn/reward.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace backflip::nn {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;

// Two observations, one action: mean = 2 · tanh(x0 − x1) + 0.5.
Snapshot SmallPolicy() {
  Snapshot s;
  s.tensors["observation_mean"] = {{2}, {1, 0}};
  s.tensors["observation_std"] = {{2}, {2, 1}};
  s.tensors["layer0.weight"] = {{2, 1}, {1, -1}};
  s.tensors["layer0.bias"] = {{1}, {0}};
  s.tensors["layer1.weight"] = {{1, 1}, {2}};
  s.tensors["layer1.bias"] = {{1}, {0.5}};
  s.tensors["log_std"] = {{1}, {std::log(0.1f)}};
  s.metadata = {{"kind", "policy"},         {"layers", "2,1,1"},  {"activation", "tanh"},
                {"observation_clip", "10"}, {"action_clip", "1"}, {"noise_correlation", "0.6"}};
  return s;
}

TEST(Policy, ComputesTheDescribedNetwork) {
  const auto policy = Policy::FromSnapshot(SmallPolicy());
  ASSERT_TRUE(policy.ok()) << policy.status();
  const float observation[] = {3, 0.5};
  float action;
  (*policy)->Mean(observation, &action);
  EXPECT_NEAR(action, 2 * std::tanh(1 - 0.5) + 0.5, 1e-6);
}

TEST(Policy, ClipsNormalisedObservations) {
  Snapshot snapshot = SmallPolicy();
  snapshot.metadata["observation_clip"] = "0.25";
  const auto policy = Policy::FromSnapshot(snapshot);
  ASSERT_TRUE(policy.ok());
  const float observation[] = {1000, 0};
  float action;
  (*policy)->Mean(observation, &action);
  EXPECT_NEAR(action, 2 * std::tanh(0.25) + 0.5, 1e-6);
}

TEST(Policy, CorrelatesItsNoiseInTime) {
  const auto policy = Policy::FromSnapshot(SmallPolicy());
  ASSERT_TRUE(policy.ok());
  const float observation[] = {1, 0};  // mean action 0.5
  float noise = 1, action;
  const float normal = 2;
  const float log_probability = (*policy)->Act(observation, &normal, &noise, &action);
  EXPECT_NEAR(noise, 0.6 * 1 + 0.8 * 2, 1e-6);
  EXPECT_NEAR(action, 0.5 + 0.1 * noise, 1e-6);
  const double density = std::exp(-0.5 * noise * noise) / (0.1 * std::sqrt(2 * std::acos(-1.0)));
  EXPECT_NEAR(log_probability, std::log(density), 1e-5);
}

TEST(Policy, RefusesSnapshotsThatDoNotFit) {
  const auto refused = [](void (*change)(Snapshot*)) {
    Snapshot snapshot = SmallPolicy();
    change(&snapshot);
    return !Policy::FromSnapshot(snapshot).ok();
  };
  EXPECT_TRUE(refused([](Snapshot* s) { s->metadata["kind"] = "reward"; }));
  EXPECT_TRUE(refused([](Snapshot* s) { s->metadata["layers"] = "2,2,1"; }));
  EXPECT_TRUE(refused([](Snapshot* s) { s->metadata["layers"] = "2"; }));
  EXPECT_TRUE(refused([](Snapshot* s) { s->metadata["layers"] = "2,-1,1"; }));
  EXPECT_TRUE(refused([](Snapshot* s) { s->metadata.erase("action_clip"); }));
  EXPECT_TRUE(refused([](Snapshot* s) { s->metadata["noise_correlation"] = "1"; }));
  EXPECT_TRUE(refused([](Snapshot* s) { s->metadata["distribution"] = "squashed"; }));
  EXPECT_TRUE(refused([](Snapshot* s) { s->metadata["encoder"] = "convolutions"; }));
  EXPECT_FALSE(refused([](Snapshot* s) {
    s->metadata["distribution"] = "gaussian";
    s->metadata["encoder"] = "mlp";
  }));
  EXPECT_TRUE(refused([](Snapshot* s) { s->tensors.erase("layer1.bias"); }));
  EXPECT_TRUE(refused([](Snapshot* s) { s->tensors["observation_std"].values[0] = 0; }));
}

// Two members over one observation and one action: r = x·w (leaky once).
Snapshot SmallReward() {
  Snapshot s;
  s.tensors["observation_mean"] = {{1}, {1}};
  s.tensors["observation_std"] = {{1}, {2}};
  s.tensors["layer0.weight"] = {{2, 2, 1}, {1, 0, 0, 1}};
  s.tensors["layer0.bias"] = {{2, 1}, {0, 0}};
  s.tensors["layer1.weight"] = {{2, 1, 1}, {1, 3}};
  s.tensors["layer1.bias"] = {{2, 1}, {0, 1}};
  s.tensors["member_mean"] = {{2}, {0, 1}};
  s.tensors["member_std"] = {{2}, {1, 3}};
  s.metadata = {{"kind", "reward"},           {"members", "2"},
                {"observations", "1"},        {"layers", "2,1,1"},
                {"activation", "leaky_relu"}, {"observation_clip", "10"},
                {"action_clip", "1"}};
  return s;
}

TEST(RewardModel, NormalisesEachMemberThenAverages) {
  const auto model = RewardModel::FromSnapshot(SmallReward());
  ASSERT_TRUE(model.ok()) << model.status();
  const float observations[] = {5, -3}, actions[] = {0.5, 7};
  float rewards[2], members[4];
  model->Score(observations, actions, 2, rewards, members);
  // member 0 sees the observation (2, then −2 leaking), member 1 the action,
  // clipped to 1
  EXPECT_THAT(members, ElementsAre(FloatNear(2, 1e-6), FloatNear(-0.02, 1e-6), FloatNear(0.5, 1e-6),
                                   FloatNear(1, 1e-6)));
  EXPECT_THAT(rewards, ElementsAre(FloatNear(1.25, 1e-6), FloatNear(0.49, 1e-6)));
}

TEST(RewardModel, RefusesSnapshotsThatDoNotFit) {
  const auto refused = [](void (*change)(Snapshot*)) {
    Snapshot snapshot = SmallReward();
    change(&snapshot);
    return !RewardModel::FromSnapshot(snapshot).ok();
  };
  EXPECT_TRUE(refused([](Snapshot* s) { s->metadata["kind"] = "policy"; }));
  EXPECT_TRUE(refused([](Snapshot* s) { s->metadata["members"] = "3"; }));
  EXPECT_TRUE(refused([](Snapshot* s) { s->metadata["members"] = "0"; }));
  EXPECT_TRUE(refused([](Snapshot* s) { s->metadata["observations"] = "5"; }));
  EXPECT_TRUE(refused([](Snapshot* s) { s->tensors["member_std"].values[1] = 0; }));
}

TEST(Normalizer, MergesBatchesAsIfTheyWereOne) {
  const std::vector<float> values = {1, 100, 2, 140, 3, 120, 7, 80, 5, 90};
  Normalizer whole(2), parts(2);
  whole.Add(values.data(), 5);
  parts.Add(values.data(), 2);
  parts.Add(values.data() + 4, 3);
  parts.Add(nullptr, 0);
  for (int i = 0; i < 2; ++i) {
    EXPECT_NEAR(parts.Mean()[i], whole.Mean()[i], 1e-5);
    EXPECT_NEAR(parts.StandardDeviation()[i], whole.StandardDeviation()[i], 1e-5);
  }
  EXPECT_NEAR(whole.Mean()[0], 3.6, 1e-6);
  EXPECT_NEAR(whole.StandardDeviation()[0], std::sqrt(4.64), 1e-5);
}

TEST(Normalizer, TakesNoSmallMovementOfWhatWasStillForALargeOne) {
  Normalizer normalizer(1);
  const std::vector<float> still(100, -0.3f);  // a locked joint
  normalizer.Add(still.data(), 100);
  EXPECT_LE(0.001 / normalizer.StandardDeviation()[0], 0.011);
}

TEST(Normalizer, TakesFlagsAndTheirTracesAsTheyAre) {
  // a flag that never was set, one that rarely is, one that rarely is not, the trace of a rare one
  Normalizer normalizer(4);
  std::vector<float> values;
  for (int i = 0; i < 1000; ++i) {
    const float rare = i == 500;
    values.insert(values.end(), {0, rare, 1 - rare, i < 500 ? 0 : std::exp(0.1f * (500 - i))});
  }
  normalizer.Add(values.data(), 1000);
  EXPECT_THAT(normalizer.Mean(), ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(normalizer.StandardDeviation(), ElementsAre(1, 1, 1, 1));
  // what leaves [0, 1] was none, and neither is what is never at an end of it
  const std::vector<float> negative = {0, 0, 0, -1e-3f}, inner(1000, 0.75f);
  normalizer.Add(negative.data(), 1);
  EXPECT_NEAR(normalizer.Mean()[3], 0.0105, 1e-4);
  EXPECT_EQ(normalizer.StandardDeviation()[3], 0.1f);
  Normalizer height(1);
  height.Add(inner.data(), 1000);
  EXPECT_EQ(height.Mean()[0], 0.75f);
}

TEST(Normalizer, GoesOnFromWhatAPolicyPublished) {
  Normalizer before(2), after(2);
  const std::vector<float> values = {0, 2, 1, 4, 0, 6};  // a flag, and a number
  before.Add(values.data(), 3);
  after.Restore(before.Mean(), before.StandardDeviation(), 3);
  const std::vector<float> more = {1, 8};
  before.Add(more.data(), 1);
  after.Add(more.data(), 1);
  for (int i = 0; i < 2; ++i) {
    EXPECT_NEAR(after.Mean()[i], before.Mean()[i], 1e-5);
    EXPECT_NEAR(after.StandardDeviation()[i], before.StandardDeviation()[i], 1e-5);
  }
}

TEST(Normalizer, LeavesInputsAloneBeforeItHasSeenAny) {
  Normalizer normalizer(1);
  EXPECT_THAT(normalizer.Mean(), ElementsAre(0));
  EXPECT_THAT(normalizer.StandardDeviation(), ElementsAre(1));
}

TEST(Normalizer, ReturnsFromASnapshotBitForBit) {
  Normalizer before(3), after(3);
  const std::vector<float> values = {0.1f, 2, 0, 4, 5.5f, 1};  // the third is a flag
  before.Add(values.data(), 2);
  Snapshot snapshot;
  before.Save("n", &snapshot);
  ASSERT_TRUE(after.Load("n", snapshot).ok());
  before.Add(values.data(), 1);
  after.Add(values.data(), 1);
  EXPECT_EQ(before.Mean(), after.Mean());
  EXPECT_EQ(before.StandardDeviation(), after.StandardDeviation());
  Normalizer other(2);
  EXPECT_FALSE(other.Load("n", snapshot).ok());
}

}  // namespace
}  // namespace backflip::nn
