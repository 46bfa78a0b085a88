// PostgreSQL with a standby that can take its place.
#ifndef BACKFLIP_TESTS_SUPPORT_POSTGRES_PAIR_H_
#define BACKFLIP_TESTS_SUPPORT_POSTGRES_PAIR_H_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/launcher/subprocess.h"

namespace backflip::testing {

// Two servers on Unix sockets: what one acknowledges is on the other's disk, too (streaming
// replication, synchronous commit). For one thread, with which the servers die.
class PostgresPair {
 public:
  static absl::StatusOr<std::unique_ptr<PostgresPair>> Start();
  // Kills both, and removes their data.
  ~PostgresPair();

  // For libpq: of both, of which it takes the one that can be written to.
  std::string url() const;

  // kill -9 of the first server with all its processes.
  void KillPrimary();
  // The second is from now on what the first was, and waits for no standby.
  absl::Status Promote();

 private:
  PostgresPair() = default;
  absl::StatusOr<std::string> Tool(std::vector<std::string> argv) const;
  std::string Data(int server) const;
  // Starts a server whose data are there, and waits until it answers.
  absl::Status StartServer(int server);
  void KillServer(int server);

  std::string folder_, binaries_;
  std::string user_name_;
  std::optional<cli::User> user_;
  pid_t pids_[2] = {0, 0};
};

}  // namespace backflip::testing

#endif  // BACKFLIP_TESTS_SUPPORT_POSTGRES_PAIR_H_
