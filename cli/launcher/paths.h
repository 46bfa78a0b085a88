// Where things are: programs, tasks, data, sockets.
#ifndef BACKFLIP_CLI_LAUNCHER_PATHS_H_
#define BACKFLIP_CLI_LAUNCHER_PATHS_H_

#include <string>

#include "absl/status/statusor.h"

namespace backflip::cli {

// The path of one of our programs: beside the one that runs.
std::string ProgramPath(const std::string& name);

// /var/lib/backflip for root, whom PostgreSQL's own user must be able to
// follow, else .local/share/backflip in the caller's home.
std::string DefaultDataFolder();

// The folder of a task: `task` itself where it is a folder with a task file
// (or the task file), else the one of that name that comes with the programs.
// NOT_FOUND names what was looked for and lists the tasks that there are.
absl::StatusOr<std::string> FindTask(const std::string& task);

// A short folder for the sockets of the stack on `data`, the same each time,
// which only the caller can enter; made where it is missing. Paths of sockets
// have at most 107 bytes. FAILED_PRECONDITION when somebody else holds it.
absl::StatusOr<std::string> SocketFolder(const std::string& data);

// Where the stack on `data` says how browsers reach it, while it runs.
std::string PagesUrlFile(const std::string& data);

// Where the broker of the stack on `data` listens: unix:path.
std::string BrokerAddress(const std::string& data);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_LAUNCHER_PATHS_H_
