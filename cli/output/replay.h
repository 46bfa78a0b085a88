// Tasks and behaviour, simulated and drawn here.
#ifndef BACKFLIP_CLI_OUTPUT_REPLAY_H_
#define BACKFLIP_CLI_OUTPUT_REPLAY_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backflip/v1/run.pb.h"
#include "common/client/broker_client.h"
#include "common/sim/task.h"

namespace backflip::cli {

// What a run is told of its task when it is created.
v1::TaskInfo InfoOf(const sim::Task& task);

// Simulates one evaluation episode of a policy snapshot (version 0: the run's
// best one, or else its newest) from `seed`, with mean actions, and films it into
// the GIF file `path`, at the speed of life. The task comes from the broker.
absl::Status FilmSnapshot(const client::BrokerClient& broker, const v1::Run& run, int64_t version,
                          uint64_t seed, const std::string& path);

// Makes the task folder `folder` for the model (sim::ScaffoldTask says how, and
// with which errors), and films random actions into preview.gif there.
// UNAVAILABLE: no OpenGL to film with; the task stands.
absl::Status NewTask(const std::string& model_path, const std::string& folder);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_OUTPUT_REPLAY_H_
