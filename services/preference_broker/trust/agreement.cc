#include "services/preference_broker/trust/agreement.h"

#include <cmath>
#include <map>
#include <numeric>

namespace backflip::trust {

std::optional<double> KrippendorffAlpha(const std::vector<Vote>& votes, int values, Level level) {
  std::map<int, std::vector<double>> items;
  for (const Vote& vote : votes) {
    std::vector<double>& counts = items[vote.item];
    counts.resize(values);
    ++counts[vote.value];
  }
  std::vector<double> coincidences(values * values);
  for (const auto& [item, counts] : items) {
    const double given = std::accumulate(counts.begin(), counts.end(), 0.0);
    if (given < 2) continue;
    for (int c = 0; c < values; ++c) {
      for (int k = 0; k < values; ++k) {
        coincidences[c * values + k] += counts[c] * (counts[k] - (c == k ? 1 : 0)) / (given - 1);
      }
    }
  }
  std::vector<double> totals(values);
  for (int c = 0; c < values; ++c) {
    for (int k = 0; k < values; ++k) totals[c] += coincidences[c * values + k];
  }
  const double all = std::accumulate(totals.begin(), totals.end(), 0.0);

  double observed = 0, expected = 0;
  for (int c = 0; c < values; ++c) {
    double between = totals[c];  // n_c + ... + n_k
    for (int k = c + 1; k < values; ++k) {
      between += totals[k];
      const double distance = between - (totals[c] + totals[k]) / 2;
      const double squared = level == Level::kNominal ? 1 : distance * distance;
      observed += coincidences[c * values + k] * squared;
      expected += totals[c] * totals[k] * squared;
    }
  }
  if (!(expected > 0)) return std::nullopt;
  return 1 - (all - 1) * observed / expected;
}

double NormalizedEntropy(const std::vector<int>& counts) {
  const double all = std::accumulate(counts.begin(), counts.end(), 0.0);
  if (all == 0 || counts.size() < 2) return 0;
  double entropy = 0;
  for (const int count : counts) {
    if (count > 0) entropy -= count / all * std::log(count / all);
  }
  return entropy / std::log(static_cast<double>(counts.size()));
}

}  // namespace backflip::trust
