#include "cli/output/experiment_report.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/output/chart.h"
#include "cli/output/statistics.h"
#include "cli/output/status_block.h"
#include "nlohmann/json.hpp"

namespace backflip::cli {
namespace {

// By seed; without runs that failed.
using Values = std::map<uint64_t, double>;

Values ValuesOf(const v1::Experiment& experiment, const std::vector<ExperimentRun>& runs,
                const std::string& task, const std::string& arm) {
  Values values;
  for (const ExperimentRun& run : runs) {
    const double value = ValueOf(experiment, run);
    if (run.task == task && run.arm == arm && !std::isnan(value)) {
      values[run.run.spec().seed()] = value;
    }
  }
  return values;
}

// Of the seeds that both have.
std::vector<double> Ratios(const Values& values, const Values& baseline) {
  std::vector<double> ratios;
  for (const auto& [seed, value] : values) {
    const auto of_seed = baseline.find(seed);
    if (of_seed == baseline.end()) continue;
    if (const double ratio = Ratio(value, of_seed->second); !std::isnan(ratio)) {
      ratios.push_back(ratio);
    }
  }
  return ratios;
}

std::string Text(const Estimate& estimate) {
  return absl::StrFormat("%.4g [%.4g, %.4g]", estimate.value, estimate.low, estimate.high);
}

std::vector<double> Numbers(const Values& values) {
  std::vector<double> numbers;
  for (const auto& [seed, value] : values) numbers.push_back(value);
  return numbers;
}

}  // namespace

double ValueOf(const v1::Experiment& experiment, const ExperimentRun& run) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  if (run.results.episodes == 0) return kNone;
  if (experiment.measure() == "true_return") return run.results.true_return.value_or(kNone);
  for (const auto& [name, value] : run.results.metrics) {
    if (name == experiment.measure()) return value;
  }
  return kNone;
}

std::string ExperimentTable(const v1::Experiment& experiment,
                            const std::vector<ExperimentRun>& runs) {
  const bool compared = !experiment.baseline().empty();
  const std::string ratio_title =
      compared ? absl::StrCat(" ÷ ", experiment.baseline(), " |") : std::string();
  std::string table = absl::StrCat(
      "| task | arm | seeds | ", experiment.measure(), ", interquartile mean [95 %] |", ratio_title,
      " each seed |\n|---|---|---|---|", compared ? "---|" : "", "---|\n");
  // of each arm: of the tasks
  std::map<std::string, std::vector<double>> ratios_of;
  for (const std::string& task : experiment.task()) {
    for (const v1::Arm& arm : experiment.arm()) {
      const Values values = ValuesOf(experiment, runs, task, arm.name());
      if (values.empty()) continue;
      absl::StrAppendFormat(&table, "| %s | %s | %d | %s |", task, arm.name(), values.size(),
                            Text(EstimateOf(Numbers(values))));
      if (compared) {
        const std::vector<double> ratios =
            Ratios(values, ValuesOf(experiment, runs, task, experiment.baseline()));
        const Estimate ratio = EstimateOf(ratios);
        absl::StrAppend(&table, " ", ratios.empty() ? "–" : Text(ratio), " |");
        if (!ratios.empty()) ratios_of[arm.name()].push_back(ratio.value);
      }
      absl::StrAppend(&table, " ",
                      absl::StrJoin(values, ", ",
                                    [](std::string* out, const auto& value) {
                                      absl::StrAppendFormat(out, "%d: %.4g", value.first,
                                                            value.second);
                                    }),
                      " |\n");
    }
  }
  for (const v1::Arm& arm : experiment.arm()) {
    const std::vector<double>& ratios = ratios_of[arm.name()];
    if (ratios.size() < 2) continue;
    double sum = 0;
    for (const double ratio : ratios) sum += ratio;
    absl::StrAppendFormat(&table, "| %d tasks | %s | | | mean %.4g, least %.4g | |\n",
                          ratios.size(), arm.name(), sum / static_cast<double>(ratios.size()),
                          *std::min_element(ratios.begin(), ratios.end()));
  }
  for (const ExperimentRun& run : runs) {
    if (run.run.state() == v1::FINISHED) continue;
    absl::StrAppendFormat(&table, "\nNot in the table: %s, %s, seed %d (run %d) is %s: %s\n",
                          run.task, run.arm, run.run.spec().seed(), run.run.id(),
                          StateName(run.run.state()), run.run.message());
  }
  return table;
}

std::string ExperimentJson(const std::vector<ExperimentRun>& runs) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const ExperimentRun& run : runs) {
    nlohmann::ordered_json one = nlohmann::ordered_json::parse(ToJson(run.results));
    one["arm"] = run.arm;
    one["run"] = run.run.id();
    one["state"] = StateName(run.run.state());
    one["spec"] = run.run.spec().ShortDebugString();
    all.push_back(std::move(one));
  }
  return all.dump(1) + "\n";
}

absl::Status DrawExperiment(const std::string& name, const v1::Experiment& experiment,
                            const std::vector<ExperimentRun>& runs, const std::string& path) {
  std::vector<Panel> panels;
  for (const std::string& task : experiment.task()) {
    Panel panel{.title = absl::StrCat(task, ": ", experiment.measure())};
    for (const v1::Arm& arm : experiment.arm()) {
      std::map<int64_t, std::pair<double, std::vector<double>>> by_iteration;
      size_t count = 0;
      for (const ExperimentRun& run : runs) {
        if (run.task != task || run.arm != arm.name() || run.curve.empty()) continue;
        ++count;
        for (const v1::MetricPoint& point : run.curve) {
          auto& [steps, values] = by_iteration[point.iteration()];
          steps = static_cast<double>(point.steps());
          values.push_back(point.value());
        }
      }
      Line line{.title = arm.name()};
      for (const auto& [iteration, at] : by_iteration) {
        const auto& [steps, values] = at;
        if (values.size() < count) continue;
        const Estimate estimate = EstimateOf(values);
        line.points.push_back({steps, estimate.value, estimate.low, estimate.high});
      }
      if (!line.points.empty()) panel.lines.push_back(std::move(line));
    }
    if (!panel.lines.empty()) panels.push_back(std::move(panel));
  }
  if (panels.empty()) return absl::NotFoundError("no run has been evaluated");
  return DrawChart(name, panels, path);
}

}  // namespace backflip::cli
