#include "common/learn/reward/loss.h"

#include <cmath>

namespace backflip::learn {

torch::Tensor CrossEntropy(const torch::Tensor& differences, const torch::Tensor& left_preferred,
                           const torch::Tensor& reliability, double noise) {
  const torch::Tensor as_seen = torch::log(reliability * (1 - noise));
  const torch::Tensor reversed = torch::log((1 - reliability) * (1 - noise));
  const torch::Tensor random = torch::full({}, std::log(noise / 2), torch::kFloat32);
  const torch::Tensor left = torch::log_sigmoid(differences);
  const torch::Tensor right = torch::log_sigmoid(-differences);
  const auto answered = [&](const torch::Tensor& better, const torch::Tensor& worse) {
    return torch::logaddexp(torch::logaddexp(as_seen + better, reversed + worse), random);
  };
  return -(left_preferred * answered(left, right) + (1 - left_preferred) * answered(right, left));
}

}  // namespace backflip::learn
