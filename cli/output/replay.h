// Tasks and behaviour, simulated and drawn here.
#ifndef BACKFLIP_CLI_OUTPUT_REPLAY_H_
#define BACKFLIP_CLI_OUTPUT_REPLAY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backflip/v1/run.pb.h"
#include "common/client/broker_client.h"
#include "common/sim/mujoco/scaffold.h"
#include "common/sim/task.h"

namespace backflip::cli {

// What a run is told of its task when it is created.
v1::TaskInfo InfoOf(const sim::Task& task);

// Simulates one evaluation episode of a policy snapshot (version 0: the run's
// best one, or else its newest) from `seed`, with mean actions, and films it into
// the GIF file `path`, at the speed of life. The task comes from the broker.
absl::Status FilmSnapshot(const client::BrokerClient& broker, const v1::Run& run, int64_t version,
                          uint64_t seed, const std::string& path);

struct MadeTask {
  // What its maker should know, a sentence each.
  std::vector<std::string> remarks;
  // Whether there is a preview. UNAVAILABLE: no OpenGL to film with; the task stands.
  absl::Status preview;
};

// Makes the task folder `folder` for the model (sim::ScaffoldTask says how, and
// with which errors), and films its random actions into preview.gif there, all in its draft, which
// is kept at the end. Tells `progress` what it begins.
absl::StatusOr<MadeTask> MakeTask(const std::string& model_path, const std::string& folder,
                                  sim::Draft& draft,
                                  const std::function<void(absl::string_view)>& progress);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_OUTPUT_REPLAY_H_
