#include "common/learn/reward/bootstrap.h"

#include <cmath>
#include <memory>
#include <set>
#include <vector>

#include "common/learn/random.h"
#include "gtest/gtest.h"

namespace backflip::learn {
namespace {

experience::ClipPointer ClipOf(float content) {
  auto clip = std::make_shared<experience::Clip>();
  clip->steps = 1;
  clip->observations = {content, content};
  return clip;
}

// Pairs of random clips among `clips`.
std::vector<experience::Comparison> Labels(int count, int clips) {
  std::vector<experience::Comparison> labels;
  KeyedRandom random(5, clips);
  for (int i = 0; i < count; ++i) {
    experience::Comparison label;
    label.ordinal = i;
    label.left = ClipOf(static_cast<float>(random.Below(clips)));
    label.right = ClipOf(static_cast<float>(random.Below(clips)));
    labels.push_back(label);
  }
  return labels;
}

Bootstrap Of(const std::vector<experience::Comparison>& labels, int members, double held_out) {
  Bootstrap bootstrap(1, members, held_out);
  for (const experience::Comparison& label : labels) bootstrap.Add(label);
  return bootstrap;
}

TEST(Bootstrap, TakesOrHoldsOutEveryLabelWhateverTheShare) {
  constexpr int kLabels = 4000, kMembers = 3;
  for (const double share : {0.0, 0.1, std::exp(-1.0), 0.6}) {
    const Bootstrap bootstrap = Of(Labels(kLabels, 1 << 20), kMembers, share);
    for (int m = 0; m < kMembers; ++m) {
      std::set<int64_t> taken(bootstrap.Taken(m).begin(), bootstrap.Taken(m).end());
      for (const int64_t row : bootstrap.HeldOut(m)) EXPECT_TRUE(taken.insert(row).second);
      EXPECT_EQ(taken.size(), kLabels);
      EXPECT_NEAR(static_cast<double>(bootstrap.HeldOut(m).size()) / kLabels, share, 0.03);
    }
  }
}

TEST(Bootstrap, TakesALabelAsOftenAsDrawingWithReplacementDoes) {
  constexpr int kLabels = 10'000;
  const Bootstrap bootstrap = Of(Labels(kLabels, 1 << 20), 1, std::exp(-1.0));
  EXPECT_NEAR(static_cast<double>(bootstrap.Taken(0).size()) / kLabels, 1, 0.04);
}

TEST(Bootstrap, LeavesNoMemberWithoutALabelToTrainOn) {
  constexpr int kMembers = 32;
  const Bootstrap bootstrap = Of(Labels(20, 1), kMembers, std::exp(-1.0));  // all of one clip
  int all_held_out = 0;
  for (int m = 0; m < kMembers; ++m) {
    EXPECT_FALSE(bootstrap.Taken(m).empty());
    EXPECT_TRUE(bootstrap.Unseen(m).empty());
    all_held_out += bootstrap.HeldOut(m).size() == 20;
  }
  EXPECT_GT(all_held_out, 0);
  EXPECT_LT(all_held_out, kMembers);
}

TEST(Bootstrap, CallsALabelUnseenIfNeitherClipWasTrainedOn) {
  const std::vector<experience::Comparison> labels = Labels(175, 64);
  const Bootstrap bootstrap = Of(labels, 3, std::exp(-1.0));
  for (int m = 0; m < 3; ++m) {
    std::set<float> trained;
    for (const int64_t row : bootstrap.Taken(m)) {
      trained.insert({labels[row].left->observations[0], labels[row].right->observations[0]});
    }
    const std::vector<int64_t> unseen = bootstrap.Unseen(m);
    EXPECT_FALSE(unseen.empty());
    for (const int64_t row : unseen) {
      EXPECT_EQ(trained.count(labels[row].left->observations[0]), 0u);
      EXPECT_EQ(trained.count(labels[row].right->observations[0]), 0u);
    }
  }
}

}  // namespace
}  // namespace backflip::learn
