#include "common/learn/trpo/trpo.h"

#include <cmath>
#include <vector>

#include "common/base/status_macros.h"
#include "common/learn/on_policy/on_policy.h"

namespace backflip::learn {
namespace {

// Halvings of the step before the line search gives up.
constexpr int kHalvings = 10;

torch::Tensor Flat(const std::vector<torch::Tensor>& tensors) {
  std::vector<torch::Tensor> flat;
  for (const torch::Tensor& tensor : tensors) flat.push_back(tensor.reshape({-1}));
  return torch::cat(flat);
}

double Dot(const torch::Tensor& a, const torch::Tensor& b) { return a.dot(b).item<double>(); }

class Trpo final : public OnPolicy {
 public:
  Trpo(const v1::RunSpec& spec, Sizes sizes) : OnPolicy("TRPO", spec, sizes), trpo_(spec.trpo()) {}

 private:
  // The policy before an update.
  struct Before {
    torch::Tensor values;   // [all], its parameters
    torch::Tensor means;    // [steps, a]
    torch::Tensor log_std;  // [a]
  };

  void Update(const Rows& rows, const Annealed& annealed, Statistics* statistics) override;
  torch::Tensor Surrogate(const Rows& rows) const;
  torch::Tensor Divergence(const Rows& rows, const Before& before) const;
  torch::Tensor FisherProduct(const torch::Tensor& slope, const torch::Tensor& vector) const;
  torch::Tensor NaturalGradient(const torch::Tensor& slope, const torch::Tensor& gradient) const;
  bool Search(const Rows& rows, const Before& before, const torch::Tensor& step, double surrogate);

  const v1::Trpo trpo_;
};

// What is to grow: the mean of ratio times advantage, and the entropy's bonus.
torch::Tensor Trpo::Surrogate(const Rows& rows) const {
  return ((LogProbs(rows) - rows.log_probs).exp() * rows.advantages).mean() +
         options_.entropy_bonus() * log_std().sum();
}

// Mean KL(before ‖ now) of the Gaussians.
torch::Tensor Trpo::Divergence(const Rows& rows, const Before& before) const {
  const torch::Tensor squares = (before.means - Means(rows.observations)).square();
  const torch::Tensor variance = (2 * before.log_std).exp();
  return (log_std() - before.log_std + (variance + squares) / (2 * (2 * log_std()).exp()) - 0.5)
      .sum(1)
      .mean();
}

// The divergence's second derivative times `vector`, damped. `slope`: its first derivative, as a
// function of the parameters.
torch::Tensor Trpo::FisherProduct(const torch::Tensor& slope, const torch::Tensor& vector) const {
  return Flat(torch::autograd::grad({slope.dot(vector)}, policy_.tensors(), {},
                                    /*retain_graph=*/true)) +
         trpo_.damping() * vector;
}

// Solves F x = gradient by conjugate gradients.
torch::Tensor Trpo::NaturalGradient(const torch::Tensor& slope,
                                    const torch::Tensor& gradient) const {
  torch::Tensor x = torch::zeros_like(gradient), residual = gradient.clone();
  torch::Tensor direction = residual.clone();
  double squares = Dot(residual, residual);
  const double enough = 1e-10 * squares;
  for (int i = 0; i < trpo_.conjugate_gradient_iterations() && squares > enough; ++i) {
    const torch::Tensor product = FisherProduct(slope, direction);
    const double length = squares / Dot(direction, product);
    x = x + length * direction;
    residual = residual - length * product;
    const double next = Dot(residual, residual);
    direction = residual + (next / squares) * direction;
    squares = next;
  }
  return x;
}

// Takes the step, or a half of it, a quarter …: the first that makes the surrogate grow within
// the trust region. False, with the policy as before, if none does.
bool Trpo::Search(const Rows& rows, const Before& before, const torch::Tensor& step,
                  double surrogate) {
  torch::NoGradGuard no_grad;
  for (int halvings = 0; halvings <= kHalvings; ++halvings) {
    policy_.values().copy_(before.values + std::pow(0.5, halvings) * step);
    // no number is greater than one that is not finite
    if (Surrogate(rows).item<double>() > surrogate &&
        Divergence(rows, before).item<double>() <= trpo_.max_kl()) {
      return true;
    }
  }
  policy_.values().copy_(before.values);
  return false;
}

void Trpo::Update(const Rows& rows, const Annealed& annealed, Statistics* statistics) {
  const Before before = {policy_.values().clone(), Means(rows.observations).detach(),
                         log_std().detach().clone()};
  const torch::Tensor surrogate = Surrogate(rows);
  const torch::Tensor gradient = Flat(torch::autograd::grad({surrogate}, policy_.tensors()));
  const torch::Tensor slope =
      Flat(torch::autograd::grad({Divergence(rows, before)}, policy_.tensors(), {},
                                 /*retain_graph=*/true,
                                 /*create_graph=*/true));
  const torch::Tensor direction = NaturalGradient(slope, gradient);
  const double curvature = Dot(direction, FisherProduct(slope, direction));
  const bool moved =
      curvature > 0 && Search(rows, before, std::sqrt(2 * trpo_.max_kl() / curvature) * direction,
                              surrogate.item<double>());
  BoundDeviation(annealed);
  FitValuesAlone(rows, annealed, statistics);
  torch::NoGradGuard no_grad;
  Statistics& s = *statistics;
  s["loss"] = -Surrogate(rows).item<double>();
  s["kl"] = Divergence(rows, before).item<double>();
  s["line_search_found"] = moved ? 1 : 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Algorithm>> MakeTrpo(const v1::RunSpec& spec, Sizes sizes) {
  std::unique_ptr<Algorithm> trpo;
  RETURN_IF_ERROR(Guard("TRPO", [&] {
    trpo = std::make_unique<Trpo>(spec, sizes);
    return absl::OkStatus();
  }));
  return trpo;
}

}  // namespace backflip::learn
