#include "common/learn/reward/targets.h"

#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "common/learn/parameters.h"
#include "common/learn/reward/loss.h"

namespace backflip::learn {

absl::Status Targets::Add(const experience::Comparison& label) {
  if (!(label.left_preferred >= 0 && label.left_preferred <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat("reward ensemble: label ", label.ordinal,
                                                   " prefers left by a share outside [0, 1]"));
  }
  if (true_returns_) {
    for (const experience::ClipPointer& clip : {label.left, label.right}) {
      if (clip->true_rewards.size() == static_cast<size_t>(clip->steps)) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "reward ensemble: a clip of label ", label.ordinal,
          " came without true rewards, which reward_model.target: TRUE_RETURNS is fitted to: only "
          "clips of this run, on a task with a true reward, have them"));
    }
    for (const experience::ClipPointer& clip : {label.left, label.right}) {
      const std::vector<float>& rewards = clip->true_rewards;
      returns_.push_back(std::accumulate(rewards.begin(), rewards.end(), 0.0));
    }
  }
  left_preferred_.push_back(label.left_preferred);
  weights_.push_back(label.weight);
  labelers_.push_back(label.labeler);
  return absl::OkStatus();
}

std::vector<float> Targets::StandardReturns(const std::vector<int64_t>& rows) const {
  const double count = static_cast<double>(returns_.size());
  const double mean = std::accumulate(returns_.begin(), returns_.end(), 0.0) / count;
  double squares = 0;
  for (const double value : returns_) squares += (value - mean) * (value - mean);
  const double deviation = squares > 0 ? std::sqrt(squares / count) : 1;
  std::vector<float> standard;
  for (const int64_t row : rows) {
    for (const int side : {0, 1}) {
      standard.push_back(static_cast<float>((returns_[2 * row + side] - mean) / deviation));
    }
  }
  return standard;
}

torch::Tensor Targets::Losses(const torch::Tensor& returns, const std::vector<int64_t>& rows,
                              const std::vector<float>& share,
                              const std::map<int, double>& reliability) const {
  std::vector<float> preferred, weight, right;
  for (size_t i = 0; i < rows.size(); ++i) {
    const int64_t row = rows[i];
    preferred.push_back(left_preferred_[row]);
    weight.push_back(weights_[row] * share[i]);
    right.push_back(reliability.empty() ? 1.0f
                                        : static_cast<float>(reliability.at(labelers_[row])));
  }
  const std::vector<int64_t> sizes = {returns.size(0), returns.size(1)};
  const torch::Tensor losses =
      true_returns_
          ? (returns - ToTorch(StandardReturns(rows), returns.sizes().vec())).square().mean(2)
          : CrossEntropy(returns.select(2, 0) - returns.select(2, 1), ToTorch(preferred, sizes),
                         ToTorch(right, sizes), noise_);
  const torch::Tensor w = ToTorch(weight, sizes);
  return (w * losses).sum(1) / w.sum(1);
}

}  // namespace backflip::learn
