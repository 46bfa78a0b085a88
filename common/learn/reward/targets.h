// Internal to common/learn: what the reward ensemble is fitted to, label by label.
#ifndef BACKFLIP_COMMON_LEARN_REWARD_TARGETS_H_
#define BACKFLIP_COMMON_LEARN_REWARD_TARGETS_H_

#include <torch/torch.h>

#include <cstdint>
#include <map>
#include <vector>

#include "absl/status/status.h"
#include "backflip/v1/run.pb.h"
#include "common/experience/clip.h"

namespace backflip::learn {

// Labels are known by their row: 0, 1, … in the order of Add. Not thread-safe.
class Targets {
 public:
  explicit Targets(const v1::RewardModel& model)
      : true_returns_(model.target() == v1::TRUE_RETURNS), noise_(model.uniform_answers()) {}

  // INVALID_ARGUMENT, with nothing changed: a preference outside [0, 1], or clips without true
  // rewards where returns are the target.
  absl::Status Add(const experience::Comparison& label);

  int64_t labels() const { return static_cast<int64_t>(left_preferred_.size()); }
  bool are_answers() const { return !true_returns_; }
  float left_preferred(int64_t row) const { return left_preferred_[row]; }
  float weight(int64_t row) const { return weights_[row]; }
  int labeler(int64_t row) const { return labelers_[row]; }

  // Mean losses [members] where members give the clips of labels `rows` [members × n] these
  // returns [members, n, 2]. `share`, of the same size as `rows`, multiplies the labels' weights.
  // Of answers: the cross-entropy (loss.h), with each labeler's relative reliability; none: all
  // are right. Of true returns: the squared error, in their deviations from the mean of all
  // labels' returns.
  torch::Tensor Losses(const torch::Tensor& returns, const std::vector<int64_t>& rows,
                       const std::vector<float>& share,
                       const std::map<int, double>& reliability) const;

 private:
  // The true returns of both clips, [rows, 2], standardised.
  std::vector<float> StandardReturns(const std::vector<int64_t>& rows) const;

  const bool true_returns_;
  const double noise_;
  std::vector<float> left_preferred_;
  std::vector<float> weights_;
  std::vector<int> labelers_;
  std::vector<double> returns_;  // [labels, 2], where they are the target
};

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_REWARD_TARGETS_H_
