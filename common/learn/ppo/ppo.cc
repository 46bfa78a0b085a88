#include "common/learn/ppo/ppo.h"

#include "common/base/status_macros.h"
#include "common/learn/on_policy/on_policy.h"

namespace backflip::learn {
namespace {

// Of a ratio that says no more than "clipped": exp of a greater one would not be finite.
constexpr double kMaxLogRatio = 20;

class Ppo final : public OnPolicy {
 public:
  Ppo(const v1::RunSpec& spec, Sizes sizes) : OnPolicy("PPO", spec, sizes) {}

 private:
  // Sums over the minibatches of an epoch.
  struct Sums {
    double loss = 0, value_loss = 0, kl = 0, clipped = 0, minibatches = 0;
  };

  void Update(const Rows& all, const Annealed& annealed, Statistics* statistics) override;
  void Step(const Rows& rows, const Annealed& annealed, Sums* sums);
};

void Ppo::Update(const Rows& all, const Annealed& annealed, Statistics* statistics) {
  Sums sums;  // of the last epoch
  int epochs = 0;
  do {
    sums = {};
    Epoch(all, [&](const Rows& rows) { Step(rows, annealed, &sums); });
    ++epochs;
  } while (epochs < options_.epochs() &&
           !(options_.max_kl() > 0 && sums.kl > options_.max_kl() * sums.minibatches));
  Statistics& s = *statistics;
  s["epochs"] = epochs;
  s["loss"] = sums.loss / sums.minibatches;
  s["value_loss"] = sums.value_loss / sums.minibatches;
  // an estimate of KL(before ‖ after), and the share of clipped ratios
  s["kl"] = sums.kl / sums.minibatches;
  s["clipped"] = sums.clipped / sums.minibatches;
}

void Ppo::Step(const Rows& rows, const Annealed& annealed, Sums* sums) {
  const torch::Tensor log_ratio =
      (LogProbs(rows) - rows.log_probs).clamp(-kMaxLogRatio, kMaxLogRatio);
  const torch::Tensor ratio = log_ratio.exp();
  torch::Tensor loss =
      -torch::min(ratio * rows.advantages,
                  ratio.clamp(1 - options_.clip(), 1 + options_.clip()) * rows.advantages)
           .mean();
  {
    torch::NoGradGuard no_grad;
    sums->kl += (ratio - 1 - log_ratio).mean().item<double>();
    sums->clipped +=
        ((ratio - 1).abs() > options_.clip()).to(torch::kFloat32).mean().item<double>();
  }
  const double bonus = options_.entropy_bonus() * log_std().detach().sum().item<double>();
  if (options_.entropy_bonus() > 0) loss = loss - options_.entropy_bonus() * log_std().sum();
  sums->loss += Descend(loss, annealed.learning_rate, &policy_) + bonus;
  BoundDeviation(annealed);
  sums->value_loss += FitValues(rows, annealed.learning_rate);
  ++sums->minibatches;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Algorithm>> MakePpo(const v1::RunSpec& spec, Sizes sizes) {
  std::unique_ptr<Algorithm> ppo;
  RETURN_IF_ERROR(Guard("PPO", [&] {
    ppo = std::make_unique<Ppo>(spec, sizes);
    return absl::OkStatus();
  }));
  return ppo;
}

}  // namespace backflip::learn
