#include "cli/output/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "cli/launcher/subprocess.h"
#include "cli/output/status_block.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace backflip::cli {
namespace {

namespace fs = std::filesystem;

// More points than this do not show in a picture.
constexpr size_t kPointsPerSeries = 400;

struct Series {
  std::string title;
  std::vector<std::pair<double, double>> points;
};

// Keeps the last point, where the run is now.
std::vector<std::pair<double, double>> Thinned(
    const std::vector<std::pair<double, double>>& points) {
  const size_t stride = points.size() / kPointsPerSeries + 1;
  std::vector<std::pair<double, double>> kept;
  for (size_t i = 0; i < points.size(); ++i) {
    if (i % stride == 0 || i + 1 == points.size()) kept.push_back(points[i]);
  }
  return kept;
}

// 1, 2 or 5 times a power of ten, at most six of which fit into `range`: more
// labels than that run into each other.
double TickStep(double range) {
  double step = std::pow(10, std::floor(std::log10(range / 6)));
  for (const double factor : {2.0, 2.5, 2.0}) {
    if (range / step <= 6) break;
    step *= factor;
  }
  return step;
}

// In double quotes of gnuplot.
std::string Quoted(const std::string& text) {
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}}), "\"");
}

// What the run is measured by first, then what it learns from; without series that have no points.
std::vector<Series> Panels(const v1::Run& run, const std::vector<v1::MetricPoint>& points) {
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
  std::vector<Series> panels;
  for (const auto& [name, title] : names) {
    const auto& series = by_name[name];
    if (!series.empty()) panels.push_back({title, {series.begin(), series.end()}});
  }
  return panels;
}

// What gnuplot draws: at least one panel, two in a row, over the same steps.
std::string CurveScript(const v1::Run& run, const std::vector<Series>& panels,
                        const std::string& path) {
  double last_step = 1;
  for (const Series& panel : panels) {
    last_step = std::max(last_step, panel.points.back().first);
  }
  const int columns = panels.size() > 1 ? 2 : 1;
  const int rows = (panels.size() + columns - 1) / columns;
  std::string script = absl::StrFormat(
      "set terminal svg size %d,%d dynamic background rgb 'white' font 'sans-serif,12'\n"
      "set output %s\n"
      "set multiplot layout %d,%d title %s noenhanced\n"
      "unset key\n"
      "set grid lc rgb '#dddddd'\n"
      "set border 3\n"
      "set tics nomirror\n"
      "set xlabel 'steps (thousands)'\n"
      "set xrange [0:%.9g]\n"
      "set xtics %.9g\n",
      450 * columns, 40 + 230 * rows, Quoted(path), rows, columns,
      Quoted(
          absl::StrFormat("%s, run %d, seed %d", run.task().name(), run.id(), run.spec().seed())),
      last_step / 1e3, TickStep(last_step / 1e3));
  for (size_t i = 0; i < panels.size(); ++i) {
    absl::StrAppendFormat(&script, "$p%d << EOD\n", i);
    for (const auto& [x, y] : Thinned(panels[i].points)) {
      absl::StrAppendFormat(&script, "%.9g %.9g\n", x / 1e3, y);
    }
    absl::StrAppendFormat(
        &script,
        "EOD\nset title %s noenhanced\n"
        "plot $p%d using 1:2 with linespoints lw 2 pt 7 ps 0.2 lc rgb '#3366aa'\n",
        Quoted(panels[i].title), i);
  }
  return script + "unset multiplot\n";
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

absl::Status WriteFile(const std::string& path, const std::string& content) {
  const std::string half_made = path + ".new";
  std::ofstream file(half_made, std::ios::binary);
  file << content;
  file.close();
  std::error_code error;
  if (file) fs::rename(half_made, path, error);
  if (!file || error) {
    fs::remove(half_made, error);
    return absl::FailedPreconditionError(absl::StrCat("cannot write ", path));
  }
  return absl::OkStatus();
}

absl::Status WriteCurve(const v1::Run& run, const std::vector<v1::MetricPoint>& points,
                        const std::string& path) {
  const std::vector<Series> panels = Panels(run, points);
  if (panels.empty()) return absl::NotFoundError("the run has no metrics yet");
  const std::string script_path = path + ".gnuplot";
  RETURN_IF_ERROR(WriteFile(script_path, CurveScript(run, panels, path)));
  const absl::StatusOr<std::string> drawn = Run({.argv = {"gnuplot", script_path}});
  std::error_code ignored;
  fs::remove(script_path, ignored);
  if (drawn.ok()) return absl::OkStatus();
  fs::remove(path, ignored);
  return absl::UnavailableError(
      absl::StrCat("the chart could not be drawn (is the package gnuplot-nox installed?): ",
                   drawn.status().message()));
}

}  // namespace backflip::cli
