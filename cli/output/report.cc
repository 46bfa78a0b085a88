#include "cli/output/report.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "cli/output/chart.h"
#include "cli/output/status_block.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace backflip::cli {
namespace {

namespace fs = std::filesystem;

// What the run is measured by first, then what it learns from; without series that have no points.
std::vector<Panel> Panels(const v1::Run& run, const std::vector<v1::MetricPoint>& points) {
  std::vector<std::pair<std::string, std::string>> names;
  for (const std::string& name : run.task().metrics()) {
    names.emplace_back(name, absl::StrCat(name, " per episode"));
  }
  if (run.task().has_true_reward()) names.emplace_back("true_return", "true return");
  if (run.spec().reward() != v1::TRUE) {
    names.emplace_back("predicted_return", "predicted return");
    names.emplace_back("reward/accuracy", "accuracy of the reward model");
    names.emplace_back("reward/labels", "labels");
  }
  std::map<std::string, std::map<int64_t, double>> by_name;
  for (const v1::MetricPoint& point : points) {
    if (std::isfinite(point.value())) by_name[point.name()][point.steps()] = point.value();
  }
  std::vector<Panel> panels;
  for (const auto& [name, title] : names) {
    const auto& series = by_name[name];
    if (series.empty()) continue;
    Line line;
    for (const auto& [steps, value] : series) {
      line.points.push_back({static_cast<double>(steps), value, value, value});
    }
    panels.push_back({title, {line}});
  }
  return panels;
}

}  // namespace

Results Summarise(const v1::Run& run, const std::vector<v1::Evaluation>& evaluations,
                  double wall_seconds, double steps_per_second) {
  Results results;
  results.task = run.task().name();
  results.seed = run.spec().seed();
  results.labels = run.spec().reward() == v1::TRUE ? 0 : run.labels();
  results.steps = run.steps();
  results.wall_seconds = wall_seconds;
  results.steps_per_second = steps_per_second;
  if (const auto accuracy = run.metrics().find("reward/accuracy");
      accuracy != run.metrics().end()) {
    results.reward_accuracy = accuracy->second;
  }
  double true_returns = 0;
  int true_return_count = 0;
  std::map<std::string, std::pair<double, int>> sums;
  for (const v1::Evaluation& evaluation : evaluations) {
    if (!evaluation.final() || evaluation.policy_version() != run.best_version()) {
      continue;
    }
    ++results.episodes;
    if (evaluation.has_true_return()) {
      true_returns += evaluation.true_return();
      ++true_return_count;
    }
    for (const auto& [name, value] : evaluation.metrics()) {
      sums[name].first += value;
      ++sums[name].second;
    }
  }
  if (true_return_count > 0) {
    results.true_return = true_returns / true_return_count;
  }
  for (const std::string& name : run.task().metrics()) {
    const auto& [sum, count] = sums[name];
    results.metrics.emplace_back(name, count > 0 ? sum / count : std::nan(""));
  }
  return results;
}

std::string ToJson(const Results& results) {
  nlohmann::ordered_json json;
  json["task"] = results.task;
  json["seed"] = results.seed;
  json["labels"] = results.labels;
  json["steps"] = results.steps;
  json["wall_seconds"] = results.wall_seconds;
  json["steps_per_second"] = results.steps_per_second;
  json["reward_accuracy"] = nullptr;
  if (results.reward_accuracy) json["reward_accuracy"] = *results.reward_accuracy;
  if (results.true_return) json["true_return"] = *results.true_return;
  // a number that is not one is written as null
  for (const auto& [name, value] : results.metrics) json[name] = value;
  return json.dump(1) + "\n";
}

std::string ToText(const Results& results) {
  std::string text =
      absl::StrFormat("%s, seed %d: %d steps with %d labels in %s (%.0f steps/s)\n", results.task,
                      results.seed, results.steps, results.labels,
                      Clock(absl::Seconds(results.wall_seconds)), results.steps_per_second);
  if (results.reward_accuracy) {
    absl::StrAppendFormat(&text, "  reward model accuracy  %.1f %%\n",
                          100 * *results.reward_accuracy);
  }
  if (results.episodes == 0) return text;
  absl::StrAppendFormat(&text, "  best snapshot, mean of %d fresh episodes:\n", results.episodes);
  if (results.true_return) {
    absl::StrAppendFormat(&text, "    %-20s %.6g\n", "true return", *results.true_return);
  }
  for (const auto& [name, value] : results.metrics) {
    absl::StrAppendFormat(&text, "    %-20s %.4g\n", name, value);
  }
  return text;
}

absl::Status WriteCurve(const v1::Run& run, const std::vector<v1::MetricPoint>& points,
                        const std::string& path) {
  const std::vector<Panel> panels = Panels(run, points);
  if (panels.empty()) return absl::NotFoundError("the run has no metrics yet");
  return DrawChart(
      absl::StrFormat("%s, run %d, seed %d", run.task().name(), run.id(), run.spec().seed()),
      panels, path);
}

}  // namespace backflip::cli
