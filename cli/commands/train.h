// `backflip train` and `backflip run`: a run from its options to its results.
#ifndef BACKFLIP_CLI_COMMANDS_TRAIN_H_
#define BACKFLIP_CLI_COMMANDS_TRAIN_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backflip/v1/run.pb.h"
#include "backflip/v1/task.pb.h"
#include "cli/command.h"
#include "cli/launcher/pages.h"
#include "common/client/broker_client.h"
#include "common/sim/task.h"

namespace backflip::cli {

// The value of --teacher where no simulated teacher answers.
inline constexpr char kNoTeacher[] = "none";

struct TrainOptions {
  std::string task = "hopper_backflip_guided";
  // Texts as given on the command line, empty where not given; "+N" adds to a
  // continued run.
  std::string labels;
  std::string steps;
  std::string teacher = "oracle";
  std::optional<uint64_t> seed;
  // 0: as many as there are cores.
  int workers = 0;
  // Without a broker: a stack of our own is started.
  StackFlags stack;
  // Empty: none.
  std::string json;
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

// Whether the run's questions can be answered. INVALID_ARGUMENT: --teacher names an unknown one, or
// a question needs more answers than there are teachers (each answers a question once) and no
// people may come. FAILED_PRECONDITION, with the way out: the task has nothing that teachers could
// answer by. A broker elsewhere has labelers of its own.
absl::Status CheckLabelers(const TrainOptions& options, const v1::RunSpec& spec,
                           const v1::TaskInfo& task);

// Puts the task's bundle and scene to the broker.
absl::StatusOr<v1::TaskInfo> PutTask(const client::BrokerClient& broker, const sim::Task& task);

// Puts the task to the broker and queues the run.
absl::StatusOr<v1::Run> CreateRun(const TrainOptions& options, const client::BrokerClient& broker);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_COMMANDS_TRAIN_H_
