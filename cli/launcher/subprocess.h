// Child processes: run one and collect what it prints, or spawn one that stays.
#ifndef BACKFLIP_CLI_LAUNCHER_SUBPROCESS_H_
#define BACKFLIP_CLI_LAUNCHER_SUBPROCESS_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace backflip::cli {

struct User {
  uid_t uid;
  gid_t gid;
};

// Whom root runs services as: the user `backflip`, whom deploy/install-dependencies makes. nullopt:
// we are not root, or there is none.
std::optional<User> ServiceUser();

struct Process {
  // Program (a path, or a name that is looked for in PATH) and arguments.
  std::vector<std::string> argv;
  // "NAME=value", which only the process's own user and root can read.
  std::vector<std::string> environment;
  // Whom to run as. Only root may name somebody else.
  std::optional<User> user;
  // Given to Run's program as its standard input.
  std::string input;
  // File that Spawn appends standard output and error to. Empty: the parent's.
  std::string log_file;
  // Spawn: killed (SIGKILL) when the thread that spawned it ends, however it
  // ends. Without it the child outlives its parent.
  bool dies_with_parent = false;
};

// Runs the process to its end and returns what it wrote to standard output and
// error. Blocks. Fails with INTERNAL when it ends with another code than 0;
// the message then names the program and closes with the end of its output.
// The program sees no signal mask of ours, neither PG* nor BACKFLIP_* of our variables, and "/"
// as its working directory.
absl::StatusOr<std::string> Run(const Process& process);

// Starts the process in a session of its own, so that Ctrl-C at the terminal
// reaches only the parent. The caller waits for it (waitpid).
absl::StatusOr<pid_t> Spawn(const Process& process);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_LAUNCHER_SUBPROCESS_H_
