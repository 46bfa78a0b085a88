// The broker that a command talks to (a given one, that of the stack which runs on the data folder,
// or one that is started for this command alone), and a run there, shown until it ends.
#ifndef BACKFLIP_CLI_SESSION_H_
#define BACKFLIP_CLI_SESSION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backflip/v1/run.pb.h"
#include "cli/command.h"
#include "cli/launcher/local_stack.h"
#include "cli/launcher/pages.h"
#include "cli/output/status_block.h"
#include "common/base/program.h"
#include "common/client/broker_client.h"

namespace backflip::cli {

struct Session {
  // Null: the broker belongs to somebody else.
  std::unique_ptr<LocalStack> stack;
  // Its calls end with CANCELLED once a shutdown is requested.
  std::unique_ptr<client::BrokerClient> broker;
};

// The data folder, as an absolute path.
std::string DataFolder(const StackFlags& flags);

// The broker of --broker, as the operator of --token-file. UNAVAILABLE, within seconds: none
// answers there. INVALID_ARGUMENT: the token file is not named.
absl::StatusOr<Session> ConnectToBroker(const StackFlags& flags, base::ShutdownSignal* shutdown);

// Starts a stack of our own: a database and a broker, with nothing yet that serves a run, and with
// pages for people where `pages` is set. Blocks for some seconds.
absl::StatusOr<Session> StartStack(const StackFlags& flags,
                                   const std::optional<PagesOptions>& pages,
                                   base::ShutdownSignal* shutdown);

// The first of these that there is: the broker of --broker, the one that runs on the data folder, a
// stack of our own.
absl::StatusOr<Session> OpenSession(const Call& call);

// How browsers reach the pages of the broker of OpenSession. FAILED_PRECONDITION: it has none.
absl::StatusOr<std::string> PagesUrlOf(const StackFlags& flags);

// The run that `text` names; empty: the newest. NOT_FOUND: there is none yet.
absl::StatusOr<int64_t> RunOrNewest(const client::BrokerClient& broker, absl::string_view text);

// Finished, failed, cancelled or paused.
bool Ended(v1::RunState state);

// Shows the run until it has ended, `shutdown` is requested (CANCELLED), or the session's own stack
// cannot go on. Returns the run as it ended. Blocks.
absl::StatusOr<v1::Run> Follow(const Session& session, int64_t run_id,
                               base::ShutdownSignal* shutdown, LiveStatus* live);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_SESSION_H_
