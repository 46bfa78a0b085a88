// Results of a run: figures, summary, JSON, chart.
#ifndef BACKFLIP_CLI_OUTPUT_REPORT_H_
#define BACKFLIP_CLI_OUTPUT_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "backflip/v1/run.pb.h"

namespace backflip::cli {

struct Results {
  std::string task;
  uint64_t seed = 0;
  // Answers that were trained on.
  int64_t labels = 0;
  int64_t steps = 0;
  // From the command's start to the end of the run.
  double wall_seconds = 0;
  // From the run's start to its end, evaluations included.
  double steps_per_second = 0;
  // Share of held-out comparisons that the ensemble predicts right; unset
  // where there is no ensemble.
  std::optional<double> reward_accuracy;
  // Means over the fresh episodes of the best snapshot.
  int episodes = 0;
  std::optional<double> true_return;
  // In the task's order; NaN where no episode reported one.
  std::vector<std::pair<std::string, double>> metrics;
};

Results Summarise(const v1::Run& run, const std::vector<v1::Evaluation>& evaluations,
                  double wall_seconds, double steps_per_second);

// One object: task, seed, labels, steps, wall_seconds, steps_per_second,
// reward_accuracy (null where there is none), true_return (where the task has
// one), and each metric of the task by its name.
std::string ToJson(const Results& results);
std::string ToText(const Results& results);

// Draws the run's metric series over its steps into the SVG file `path`; needs
// gnuplot. UNAVAILABLE where that is missing or fails.
absl::Status WriteCurve(const v1::Run& run, const std::vector<v1::MetricPoint>& points,
                        const std::string& path);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_OUTPUT_REPORT_H_
