// How like each other two rewards of the same steps are.
#ifndef BACKFLIP_TOOLS_REWARD_SERIES_H_
#define BACKFLIP_TOOLS_REWARD_SERIES_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

#include "Eigen/Core"
#include "common/experience/trajectory.h"

namespace backflip::tools {

using Series = Eigen::Map<const Eigen::ArrayXd>;

inline Series SeriesOf(const std::vector<double>& values) {
  return {values.data(), static_cast<Eigen::Index>(values.size())};
}

// Pearson's, of series of the same length.
inline double Correlation(const std::vector<double>& x, const std::vector<double>& y) {
  const Eigen::ArrayXd dx = SeriesOf(x) - SeriesOf(x).mean();
  const Eigen::ArrayXd dy = SeriesOf(y) - SeriesOf(y).mean();
  return (dx * dy).sum() / std::sqrt(dx.square().sum() * dy.square().sum());
}

// The mean of `x` where `y` is greatest, in the hundredth of all places: in deviations of `x` from
// its mean. A correlation does not tell whether a rare moment is known; this does.
inline double WhereGreatest(const std::vector<double>& x, const std::vector<double>& y) {
  std::vector<size_t> places(y.size());
  std::iota(places.begin(), places.end(), 0);
  const auto end = places.begin() + static_cast<std::ptrdiff_t>((y.size() + 99) / 100);
  std::partial_sort(places.begin(), end, places.end(),
                    [&](size_t a, size_t b) { return y[a] > y[b]; });
  const Eigen::ArrayXd dx = SeriesOf(x) - SeriesOf(x).mean();
  double sum = 0;
  for (auto place = places.begin(); place != end; ++place) sum += dx[*place];
  return sum / static_cast<double>(end - places.begin()) / std::sqrt(dx.square().mean());
}

// Distances from the mean, each with the sum of those that follow it within its episode,
// discounted by `decay`.
inline std::vector<double> Following(const experience::Batch& batch,
                                     const std::vector<double>& rewards, double decay) {
  const double mean = SeriesOf(rewards).mean();
  std::vector<double> following(rewards.size());
  size_t begin = 0;
  for (const experience::Trajectory& trajectory : batch.trajectories) {
    for (const experience::Piece& piece : experience::PiecesOf(trajectory)) {
      const size_t end = begin + piece.steps;
      double sum = 0;
      for (size_t k = end; k-- > begin;) following[k] = sum = rewards[k] - mean + decay * sum;
      begin = end;
    }
  }
  return following;
}

}  // namespace backflip::tools

#endif  // BACKFLIP_TOOLS_REWARD_SERIES_H_
