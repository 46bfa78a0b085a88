// The embedded default database: a PostgreSQL server of our own in a data
// folder, reached over a Unix socket alone.
#ifndef BACKFLIP_CLI_LAUNCHER_PRIVATE_POSTGRES_H_
#define BACKFLIP_CLI_LAUNCHER_PRIVATE_POSTGRES_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace backflip::cli {

// A running server. One process at a time holds a folder. Not thread-safe.
//
// PostgreSQL refuses to run as root: then it runs as the user `postgres`, which Debian's package
// creates, otherwise as the caller. What it acknowledges is on disk: fsync and synchronous_commit
// are on.
class PrivatePostgres {
 public:
  // Starts the server whose data are in `folder`/postgres, and makes folder,
  // data and the database `backflip` first where they are missing. A server
  // that a killed process left running on them is adopted. Blocks for some
  // seconds. FAILED_PRECONDITION, with what to do:
  //   no PostgreSQL 15 or newer in /usr/lib/postgresql/*/bin;
  //   the data are another major version's, which is not installed;
  //   `postgres` cannot enter `folder` (as root);
  //   another process holds `folder`.
  // Data are made whole or not at all.
  static absl::StatusOr<std::unique_ptr<PrivatePostgres>> Start(const std::string& folder);

  // As Start, for tests: in a new folder, which the destructor removes. What it acknowledges need
  // not be on disk, and the server dies with the calling thread.
  static absl::StatusOr<std::unique_ptr<PrivatePostgres>> StartTemporary();

  // The URL of the server on `folder`, whether it runs or not.
  static absl::StatusOr<std::string> UrlOf(const std::string& folder);

  // The newest version that is installed. FAILED_PRECONDITION, with what to do: none of 15 or
  // newer.
  static absl::StatusOr<int> InstalledVersion();

  // Stops the server, unless Stop was called.
  ~PrivatePostgres();
  PrivatePostgres(const PrivatePostgres&) = delete;
  PrivatePostgres& operator=(const PrivatePostgres&) = delete;

  // For libpq. The same for the same folder, whenever it is started. Only the
  // caller and root can connect; there is no password.
  const std::string& url() const { return url_; }

  // The server's process.
  pid_t pid() const { return pid_; }

  // Whether the server's process is alive.
  bool Running() const;

  // Ends sessions and the server, and waits for that. Idempotent.
  absl::Status Stop();
  // Starts again after Stop, or after the server was killed.
  absl::Status Restart();

 private:
  PrivatePostgres() = default;
  // Everything that starting the server takes, from folder_ and temporary_.
  absl::Status Prepare();
  // Makes the folder and locks it for this process.
  absl::Status HoldFolder();
  // Who the server runs as, and the URL that follows from it.
  absl::Status ChooseUser();
  // The newest server that is installed, or the one that wrote the data.
  absl::Status ChooseVersion();
  absl::Status MakeData();
  // Adopts or starts.
  absl::Status StartServer();
  absl::Status TryStartServer();
  absl::Status EndServer();
  absl::StatusOr<std::string> RunTool(const std::string& tool, std::vector<std::string> arguments,
                                      const std::string& input = "") const;

  std::string folder_;
  std::string data_;
  std::string socket_folder_;
  std::string binaries_;
  std::string url_;
  // Whom the server runs as.
  uid_t uid_ = 0;
  gid_t gid_ = 0;
  pid_t pid_ = 0;
  int lock_fd_ = -1;
  bool temporary_ = false;
};

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_LAUNCHER_PRIVATE_POSTGRES_H_
