// One lifecycle and one main for the programs that work for a broker.
#ifndef BACKFLIP_COMMON_RPC_DAEMON_H_
#define BACKFLIP_COMMON_RPC_DAEMON_H_

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/rpc/client.h"

namespace backflip::rpc {

// Something that works on a thread of its own until it is drained. Drain is thread-safe;
// the other calls come from the thread that made it. A class that derives from it calls
// Stop() in its destructor, while it is still whole.
class Daemon {
 public:
  virtual ~Daemon() = default;
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // Starts the work. Call it once.
  void Start();
  // Asks the work to end: what is in hand is brought to a safe end first. Does not block.
  void Drain();
  // Blocks until the work has ended: OK after a drain, otherwise why it cannot go on.
  absl::Status Wait();
  // Drain, then Wait.
  void Stop();

 protected:
  Daemon() = default;

  bool Draining() const { return draining_; }
  // The work, on its own thread. It returns soon once Draining() is true, and
  // otherwise only with an error that trying again cannot mend (see TokenIsRefused).
  virtual absl::Status Work() = 0;
  // Called by each Drain, from any thread: ends calls that block. Must not block.
  virtual void OnDrain() {}

 private:
  std::atomic<bool> draining_ = false;
  absl::Status result_;  // written by thread_, read after it has been joined
  std::thread thread_;
};

// UNAUTHENTICATED and PERMISSION_DENIED: a token that was refused once stays wrong, so
// that a daemon ends with the broker's sentence instead of asking for ever. Whoever
// started it starts it again, with the token file read anew.
bool TokenIsRefused(const absl::Status& status);

// The main function of a daemon: parses flags (--broker and --token_file are defined
// here, all others in the program's main.cc), makes the daemon, runs it until SIGTERM,
// SIGINT or its own end, and drains it. Errors are logged as one sentence. Returns the
// exit code. `name`: of the program, such as "reward-trainer".
int DaemonMain(int argc, char** argv, absl::string_view name, absl::string_view usage,
               const std::function<absl::StatusOr<std::unique_ptr<Daemon>>(Client broker)>& make);

}  // namespace backflip::rpc

#endif  // BACKFLIP_COMMON_RPC_DAEMON_H_
