// Where things are: programs, tasks, data, sockets.
#ifndef BACKFLIP_CLI_LAUNCHER_PATHS_H_
#define BACKFLIP_CLI_LAUNCHER_PATHS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace backflip::cli {

// The path of one of our programs: beside the one that runs.
std::string ProgramPath(const std::string& name);

// /var/lib/backflip for root, since the user `postgres` must be able to enter it, else
// .local/share/backflip in the caller's home.
std::string DefaultDataFolder();

// Names of the tasks that come with the programs, in order.
std::vector<std::string> ShippedTasks();

// The folder of a task: `task` itself where it is a folder with a task file
// (or the task file), else the one of that name that comes with the programs.
// NOT_FOUND says what was looked for and lists the tasks that exist.
absl::StatusOr<std::string> FindTask(const std::string& task);

// The folder of the sockets of the stack on `data`: always the same, open to the caller alone, and
// created where it is missing. Its path is short, since a socket's has at most 107 bytes.
// FAILED_PRECONDITION: it belongs to another user.
absl::StatusOr<std::string> SocketFolder(const std::string& data);

// File with the URL of the pages of the stack on `data`, while it runs.
std::string PagesUrlFile(const std::string& data);

// Where the broker of the stack on `data` listens: unix:path.
std::string BrokerAddress(const std::string& data);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_LAUNCHER_PATHS_H_
