#include "cli/output/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <random>

namespace backflip::cli {
namespace {

constexpr int kDraws = 2000;

}  // namespace

double InterquartileMean(std::vector<double> values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::sort(values.begin(), values.end());
  const auto left_out = static_cast<std::ptrdiff_t>(values.size() / 4);
  const auto begin = values.begin() + left_out;
  const auto end = values.end() - left_out;
  return std::accumulate(begin, end, 0.0) / static_cast<double>(end - begin);
}

Estimate EstimateOf(const std::vector<double>& values) {
  const double value = InterquartileMean(values);
  if (values.size() < 2) return {value, value, value};
  std::mt19937_64 random(1);
  std::vector<double> means;
  std::vector<double> drawn(values.size());
  for (int draw = 0; draw < kDraws; ++draw) {
    for (double& one : drawn) one = values[random() % values.size()];
    means.push_back(InterquartileMean(drawn));
  }
  std::sort(means.begin(), means.end());
  return {value, means[kDraws * 25 / 1000], means[kDraws * 975 / 1000 - 1]};
}

double Ratio(double value, double baseline) {
  if (value > 0 && baseline > 0) return value / baseline;
  if (value < 0 && baseline < 0) return baseline / value;
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace backflip::cli
