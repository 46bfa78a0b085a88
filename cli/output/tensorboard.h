// A run's charts as TensorBoard reads them.
#ifndef BACKFLIP_CLI_OUTPUT_TENSORBOARD_H_
#define BACKFLIP_CLI_OUTPUT_TENSORBOARD_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backflip/v1/run.pb.h"

namespace backflip::cli {

// Writes all points into one event file of the folder, which is made: a scalar for each name, its
// step the run's control steps, its time when it was reported. A repeated call replaces the file.
// Returns its path. Blocks. Errors name the file.
absl::StatusOr<std::string> WriteEvents(const std::vector<v1::MetricPoint>& points,
                                        const std::string& folder);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_OUTPUT_TENSORBOARD_H_
