// What an experiment found: a table, a chart, and every run as JSON.
#ifndef BACKFLIP_CLI_OUTPUT_EXPERIMENT_REPORT_H_
#define BACKFLIP_CLI_OUTPUT_EXPERIMENT_REPORT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backflip/v1/experiment.pb.h"
#include "backflip/v1/run.pb.h"
#include "cli/output/report.h"

namespace backflip::cli {

// A run of the grid that has finished or failed.
struct ExperimentRun {
  // As the experiment's file names them.
  std::string task;
  std::string arm;
  v1::Run run;
  // Of a run that failed: without episodes.
  Results results;
  // The measure over the run's steps.
  std::vector<v1::MetricPoint> curve;
};

// The measure of a run that finished; NaN for one that failed.
double ValueOf(const v1::Experiment& experiment, const ExperimentRun& run);

// A Markdown table with a row for each task and arm that has runs, in the file's order:
// interquartile mean and 95 % interval of the measure, the same of its ratio to the baseline's run
// of the same seed, and each seed's value; then a row for each arm over all tasks (mean and least
// of the tasks' ratios), where there are several. Runs that failed are named below it.
std::string ExperimentTable(const v1::Experiment& experiment,
                            const std::vector<ExperimentRun>& runs);

// An array with an object for each run: what ToJson(Results) has, the arm, the run's number, its
// state and its whole spec.
std::string ExperimentJson(const std::vector<ExperimentRun>& runs);

// A panel for each task, a line for each arm: the interquartile mean over seeds with its 95 %
// interval, at the iterations that all runs of the arm have evaluated. Errors as DrawChart.
absl::Status DrawExperiment(const std::string& name, const v1::Experiment& experiment,
                            const std::vector<ExperimentRun>& runs, const std::string& path);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_OUTPUT_EXPERIMENT_REPORT_H_
