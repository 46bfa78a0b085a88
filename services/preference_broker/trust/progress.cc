#include "services/preference_broker/trust/progress.h"

#include <algorithm>

#include "absl/strings/str_format.h"

namespace backflip::trust {
namespace {

constexpr int64_t kAnswersPerPoint = 10;
constexpr int64_t kMostPoints = 20;
constexpr size_t kPointsToJudge = 3;
constexpr double kConfidence = 0.9;
// Least rise of the predicted return that is no noise, as a share of the range that it has had.
constexpr double kRise = 0.1;

}  // namespace

std::vector<ProgressPoint> ProgressPoints(const std::vector<ProgressAnswer>& answers) {
  const int64_t count = answers.size();
  std::vector<ProgressPoint> points;
  if (count == 0) return points;
  const int64_t wanted = std::clamp<int64_t>(count / kAnswersPerPoint, 1, kMostPoints);
  for (int64_t i = 0; i < wanted; ++i) {
    ProgressPoint& point = points.emplace_back();
    double won = 0;
    for (int64_t k = i * count / wanted; k < (i + 1) * count / wanted; ++k) {
      won += answers[k].won;
      ++point.answers;
      point.iteration = answers[k].iteration;
    }
    point.win_rate = won / point.answers;
    point.interval = WilsonInterval(won, point.answers, kConfidence);
  }
  return points;
}

std::optional<std::string> GamedReward(const std::vector<ProgressPoint>& progress,
                                       const std::vector<SeriesPoint>& predicted_return) {
  if (progress.size() < 2) return std::nullopt;
  const ProgressPoint& before =
      progress[progress.size() - std::min(progress.size(), kPointsToJudge)];
  const ProgressPoint& now = progress.back();
  if (now.win_rate > before.win_rate || now.interval.low >= 0.5) return std::nullopt;
  std::optional<SeriesPoint> from, to;
  double least = 0, most = 0;
  for (const SeriesPoint& point : predicted_return) {
    if (point.iteration > now.iteration) break;
    least = to.has_value() ? std::min(least, point.value) : point.value;
    most = to.has_value() ? std::max(most, point.value) : point.value;
    if (point.iteration <= before.iteration || !from.has_value()) from = point;
    to = point;
  }
  if (!to.has_value() || to->value - from->value <= kRise * (most - least)) return std::nullopt;
  return absl::StrFormat(
      "Predicted return rose from %.4g (batch %d) to %.4g (batch %d), but people see no progress: "
      "the newest "
      "policy won %.0f %% of %d comparisons with earlier ones (90 %% interval: %.0f to %.0f %%), "
      "and %.0f %% before. "
      "The reward may be gamed: watch the newest clips, and ask about what looks wrong.",
      from->value, from->iteration, to->value, to->iteration, 100 * now.win_rate, now.answers,
      100 * now.interval.low, 100 * now.interval.high, 100 * before.win_rate);
}

}  // namespace backflip::trust
