// Internal to common/learn: what the reward ensemble is trained by.
#ifndef BACKFLIP_COMMON_LEARN_REWARD_LOSS_H_
#define BACKFLIP_COMMON_LEARN_REWARD_LOSS_H_

#include <torch/torch.h>

namespace backflip::learn {

// The cross-entropy of answers, label by label. All tensors have the same size: `differences`
// of returns, left - right; `left_preferred`, the answers' share for left, in [0, 1]; and
// `reliability`, η′ of who answered, in [0, 1]. With n, `noise`, the share of answers that are
// given at random, an answer for left has the probability
//   η′ (1 - n) σ(Δ) + (1 - η′) (1 - n) σ(-Δ) + n / 2.
// It is summed by logarithms: an answer that contradicts keeps its gradient however sure the
// networks are, unless n or η′ says that it may be wrong.
torch::Tensor CrossEntropy(const torch::Tensor& differences, const torch::Tensor& left_preferred,
                           const torch::Tensor& reliability, double noise);

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_REWARD_LOSS_H_
