// `backflip train`: a run from its options to its results.
#ifndef BACKFLIP_CLI_COMMANDS_TRAIN_H_
#define BACKFLIP_CLI_COMMANDS_TRAIN_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backflip/v1/run.pb.h"
#include "backflip/v1/task.pb.h"
#include "cli/launcher/local_stack.h"
#include "cli/output/status_block.h"
#include "common/base/program.h"
#include "common/client/broker_client.h"

namespace backflip::cli {

// The teacher that stands for people.
inline constexpr char kNoTeacher[] = "none";

struct TrainOptions {
  std::string task = "hopper_backflip";
  // Texts as given on the command line, empty where not given; "+N" adds to a
  // continued run.
  std::string labels;
  std::string steps;
  std::string teacher = "oracle";
  std::optional<uint64_t> seed;
  // 0: as many as there are cores.
  int workers = 0;
  std::string data;
  // Empty: none.
  std::string json;
  std::string database;
  // A broker that runs elsewhere, and a file with an operator's token there;
  // empty: a stack of our own.
  std::string broker;
  std::string token_file;
  // RunSpec text file over the task's defaults; empty: none.
  std::string spec;
  // People answer on pages: links to them are made and shown.
  bool human = false;
  PagesOptions pages;
  // A run whose labels a new one begins with; 0: none.
  int64_t labels_from = 0;
  // The run to go on with; 0: the newest.
  std::optional<int64_t> continue_run;
};

// A count as the command line has it: "300", or "+300" where `added`.
// INVALID_ARGUMENT names the flag.
absl::StatusOr<int64_t> ParseCount(const std::string& flag, const std::string& text, bool added);

// The options of the run that CreateRun would queue, checked: what is wrong with the file or a
// flag is refused before anything is started. The broker resolves the same layers by the same
// function. The teacher "none" turns lockstep off, unless the file says otherwise.
absl::StatusOr<v1::RunSpec> ResolveSpec(const TrainOptions& options, const v1::Task& task);

// INVALID_ARGUMENT when the pages would be open beyond this machine without
// TLS, or are not asked for.
absl::Status CheckPages(const TrainOptions& options);

// Whether the run will be answered. INVALID_ARGUMENT: --teacher names one that there is
// not, or a question wants more answers than there are teachers, who answer each
// question once, and nobody else may. FAILED_PRECONDITION, with the way out: teachers
// cannot answer for the task. A broker elsewhere has labelers of its own.
absl::Status CheckLabelers(const TrainOptions& options, const v1::RunSpec& spec,
                           const v1::TaskInfo& task);

// Puts the task's bundle and scene to the broker and queues the run.
absl::StatusOr<v1::Run> CreateRun(const TrainOptions& options, const client::BrokerClient& broker);

// Shows the run until it has ended, `shutdown` is requested (CANCELLED), or
// `stack` (may be null) cannot go on. Returns how it ended.
absl::StatusOr<v1::Run> Follow(const client::BrokerClient& broker, int64_t run_id,
                               LocalStack* stack, base::ShutdownSignal* shutdown, LiveStatus* live);

// All of it. CANCELLED when interrupted: then the run is paused, and everything
// has ended.
absl::Status Train(const TrainOptions& options, base::ShutdownSignal* shutdown);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_COMMANDS_TRAIN_H_
