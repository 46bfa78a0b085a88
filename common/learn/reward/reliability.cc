#include "common/learn/reward/reliability.h"

#include <algorithm>
#include <cmath>

#include "common/base/status_macros.h"

namespace backflip::learn {
namespace {

// Beta prior of each η, before gold.
constexpr double kPriorRight = 4;
constexpr double kPriorWrong = 1;
// Values of η between 0 and 1 at which a posterior is computed: far finer than any
// posterior is narrow.
constexpr int kGrid = 500;

// The posterior of η under a Beta(right, wrong) prior and these answers.
Reliability PosteriorOf(double right, double wrong, const std::vector<JudgedAnswer>& answers) {
  std::vector<double> log_density(kGrid);
  for (int i = 0; i < kGrid; ++i) {
    const double eta = (i + 0.5) / kGrid;
    log_density[i] = (right - 1) * std::log(eta) + (wrong - 1) * std::log(1 - eta);
    for (const JudgedAnswer& answer : answers) {
      const double p = answer.probability;
      log_density[i] += answer.weight * std::log(eta * p + (1 - eta) * (1 - p));
    }
  }
  const double greatest = *std::max_element(log_density.begin(), log_density.end());
  double total = 0;
  for (double& value : log_density) total += value = std::exp(value - greatest);
  Reliability result;
  double below = 0;
  for (int i = 0; i < kGrid; ++i) {
    const double share = log_density[i] / total;
    result.mean += share * (i + 0.5) / kGrid;
    const auto quantile = [&](double q, double* value) {
      if (below < q && below + share >= q) *value = (i + (q - below) / share) / kGrid;
    };
    quantile(0.05, &result.low);
    quantile(0.95, &result.high);
    below += share;
  }
  return result;
}

}  // namespace

Reliability ReliabilityTable::Estimate(int labeler,
                                       const std::vector<JudgedAnswer>& answers) const {
  const auto known = gold_.find(labeler);
  const auto [right, wrong] = known == gold_.end() ? std::pair<int64_t, int64_t>() : known->second;
  Reliability reliability = PosteriorOf(kPriorRight + static_cast<double>(right),
                                        kPriorWrong + static_cast<double>(wrong), answers);
  reliability.labeler = labeler;
  reliability.labels = labels_.at(labeler);
  return reliability;
}

void ReliabilityTable::Begin() {
  for (const auto& [labeler, labels] : labels_) {
    if (estimates_.count(labeler) == 0) estimates_[labeler] = Estimate(labeler, {});
  }
}

void ReliabilityTable::Update(const std::map<int, std::vector<JudgedAnswer>>& answers) {
  for (const auto& [labeler, labels] : labels_) {
    const auto given = answers.find(labeler);
    estimates_[labeler] =
        Estimate(labeler, given == answers.end() ? std::vector<JudgedAnswer>() : given->second);
  }
}

std::map<int, double> ReliabilityTable::Relative() const {
  Reliability best;
  for (const auto& [labeler, estimate] : estimates_) {
    if (estimate.low > best.low) best = estimate;
  }
  const double scale = best.mean > 0.5 ? 2 * best.mean - 1 : 1;
  std::map<int, double> relative;
  for (const auto& [labeler, estimate] : estimates_) {
    relative[labeler] = 0.5 + 0.5 * std::clamp((2 * estimate.mean - 1) / scale, -1.0, 1.0);
  }
  return relative;
}

void ReliabilityTable::Save(nn::Snapshot* state) const {
  std::vector<double> numbers;  // labeler, mean, low, high, labels; again
  for (const auto& [labeler, r] : estimates_) {
    numbers.insert(numbers.end(), {static_cast<double>(labeler), r.mean, r.low, r.high,
                                   static_cast<double>(r.labels)});
  }
  if (!numbers.empty()) state->SetNumbers("reliabilities", numbers);
}

absl::Status ReliabilityTable::Load(const nn::Snapshot& state) {
  std::vector<double> numbers;
  if (state.metadata.count("reliabilities") > 0) {
    ASSIGN_OR_RETURN(numbers, state.Numbers("reliabilities"));
  }
  if (numbers.size() % 5 != 0) {
    return absl::InvalidArgumentError("the reward state has reliabilities that cannot be read");
  }
  estimates_.clear();
  for (size_t i = 0; i < numbers.size(); i += 5) {
    const int labeler = static_cast<int>(numbers[i]);
    estimates_[labeler] = {labeler, numbers[i + 1], numbers[i + 2], numbers[i + 3],
                           static_cast<int64_t>(numbers[i + 4])};
  }
  return absl::OkStatus();
}

}  // namespace backflip::learn
