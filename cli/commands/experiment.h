// backflip experiment: a grid of runs, and a table of what came of them.
#ifndef BACKFLIP_CLI_COMMANDS_EXPERIMENT_H_
#define BACKFLIP_CLI_COMMANDS_EXPERIMENT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backflip/v1/experiment.pb.h"
#include "common/sim/task.h"

namespace backflip::cli {

// One run of the grid.
struct Cell {
  // As the file has it.
  std::string task_name;
  std::shared_ptr<const sim::Task> task;
  v1::Arm arm;
  // The topmost layer of the run's options.
  v1::RunSpec spec;
  bool people = false;
};

struct Plan {
  std::string name;
  v1::Experiment experiment;
  // Seed by seed, so that what is there at any time can be compared.
  std::vector<Cell> cells;
};

// Reads an experiment's file. INVALID_ARGUMENT, or what tasks are refused with: something in it is
// wrong, of all of its runs.
absl::StatusOr<Plan> ReadPlan(const std::string& path);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_COMMANDS_EXPERIMENT_H_
