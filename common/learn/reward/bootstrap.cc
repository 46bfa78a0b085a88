#include "common/learn/reward/bootstrap.h"

#include <cmath>

#include "common/base/draws.h"
#include "common/learn/random.h"

namespace backflip::learn {
namespace {

// The Poisson(1) variable that is not 0 at quantile `draw`.
int PositivePoisson1(double draw) {
  const double zero = std::exp(-1.0);
  draw = zero + draw * (1 - zero);
  int count = 1;
  double probability = zero, below = 2 * zero;
  while (draw >= below && count < 20) {
    probability /= ++count;
    below += probability;
  }
  return count;
}

}  // namespace

Bootstrap::Bootstrap(uint64_t seed, int members, double held_out)
    : seed_(seed),
      clips_held_out_(1 - std::sqrt(1 - held_out)),
      taken_(members),
      held_out_(members),
      trained_(members) {}

int Bootstrap::IndexOf(const experience::Clip& clip) {
  const uint64_t content = base::ContentKey(
      base::ContentKey(clip.steps, clip.observations.data(), clip.observations.size()),
      clip.actions.data(), clip.actions.size());
  const auto [at, added] = index_.emplace(content, static_cast<int>(contents_.size()));
  if (added) {
    contents_.push_back(content);
    for (std::vector<bool>& trained : trained_) trained.push_back(false);
  }
  return at->second;
}

void Bootstrap::Add(const experience::Comparison& label) {
  const int64_t row = static_cast<int64_t>(rows_.size());
  const Clips clips{IndexOf(*label.left), IndexOf(*label.right)};
  rows_.push_back(clips);
  for (size_t m = 0; m < taken_.size(); ++m) {
    const auto holds_out = [&](int clip) {
      return KeyedRandom(seed_, base::Draw::kHeldOutClip, contents_[clip], m).Uniform() <
             clips_held_out_;
    };
    if (holds_out(clips.left) || holds_out(clips.right)) {
      held_out_[m].push_back(row);
      continue;
    }
    const double draw = KeyedRandom(seed_, base::Draw::kBootstrap, label.ordinal, m).Uniform();
    taken_[m].insert(taken_[m].end(), PositivePoisson1(draw), row);
    trained_[m][clips.left] = trained_[m][clips.right] = true;
  }
}

std::vector<int64_t> Bootstrap::Unseen(int m) const {
  std::vector<int64_t> unseen;
  if (taken_[m].empty()) return unseen;
  for (const int64_t row : held_out_[m]) {
    const Clips& clips = rows_[row];
    if (!trained_[m][clips.left] && !trained_[m][clips.right]) unseen.push_back(row);
  }
  return unseen;
}

}  // namespace backflip::learn
