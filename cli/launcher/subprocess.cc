#include "cli/launcher/subprocess.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

extern char** environ;

namespace backflip::cli {
namespace {

// How much of a failed program's output an error repeats.
constexpr size_t kTailBytes = 2000;

absl::Status Errno(const std::string& what) {
  return absl::InternalError(absl::StrCat(what, ": ", std::strerror(errno)));
}

// Everything that the child needs is made before the fork: between fork and
// exec, in a process that may have had threads, only system calls are safe.
struct Prepared {
  explicit Prepared(const Process& process)
      : strings(process.argv), variables(process.environment) {
    for (std::string& arg : strings) argv.push_back(arg.data());
    argv.push_back(nullptr);
    for (char** entry = environ; *entry != nullptr; ++entry) {
      // PGHOST and the like would send PostgreSQL's tools elsewhere; what Backflip's variables say
      // is meant for us
      if (absl::StartsWith(*entry, "PG") || absl::StartsWith(*entry, "BACKFLIP_")) continue;
      env.push_back(*entry);
    }
    // the first of a name is the one that programs find
    for (std::string& variable : variables) env.insert(env.begin(), variable.data());
    env.push_back(nullptr);
  }
  std::vector<std::string> strings;
  std::vector<std::string> variables;
  std::vector<char*> argv;
  std::vector<char*> env;
};

// Never returns.
[[noreturn]] void Exec(const Process& process, const Prepared& prepared, int in, int out,
                       pid_t parent) {
  setsid();
  if (in >= 0) dup2(in, STDIN_FILENO);
  if (out >= 0) {
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
  }
  if (process.user.has_value() && geteuid() == 0) {
    if (setgroups(1, &process.user->gid) != 0 || setgid(process.user->gid) != 0 ||
        setuid(process.user->uid) != 0) {
      _exit(126);
    }
  }
  if (process.dies_with_parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    // the parent may have gone before the line above
    if (getppid() != parent) _exit(126);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  // a working directory would keep its file system busy
  if (chdir("/") != 0) _exit(126);
  execvpe(prepared.argv[0], prepared.argv.data(), prepared.env.data());
  static constexpr char kMessage[] = "cannot start the program: not found?\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1);
  _exit(127);
}

}  // namespace

std::optional<User> ServiceUser() {
  const passwd* const user = geteuid() == 0 ? getpwnam("backflip") : nullptr;
  if (user == nullptr) return std::nullopt;
  return User{user->pw_uid, user->pw_gid};
}

absl::StatusOr<std::string> Run(const Process& process) {
  const Prepared prepared(process);
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0) return Errno("cannot make a pipe");
  if (pipe2(out, O_CLOEXEC) != 0) {
    close(in[0]);
    close(in[1]);
    return Errno("cannot make a pipe");
  }
  // a line or two, which the pipe holds
  [[maybe_unused]] const ssize_t sent = write(in[1], process.input.data(), process.input.size());
  close(in[1]);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) Exec(process, prepared, in[0], out[1], parent);
  close(in[0]);
  close(out[1]);
  if (pid < 0) {
    close(out[0]);
    return Errno("cannot start a process");
  }
  std::string output;
  char buffer[4096];
  ssize_t count;
  while ((count = read(out[0], buffer, sizeof(buffer))) > 0 || (count < 0 && errno == EINTR)) {
    if (count > 0) output.append(buffer, count);
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  close(out[0]);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return output;
  const std::string how = WIFEXITED(status)
                              ? absl::StrCat("ended with code ", WEXITSTATUS(status))
                              : absl::StrCat("was killed by signal ", WTERMSIG(status));
  if (output.size() > kTailBytes) {
    output = absl::StrCat("...", output.substr(output.size() - kTailBytes));
  }
  return absl::InternalError(absl::StrCat(process.argv[0], " ", how, ":\n", output));
}

absl::StatusOr<pid_t> Spawn(const Process& process) {
  const Prepared prepared(process);
  int out = -1;
  if (!process.log_file.empty()) {
    out = open(process.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (out < 0) return Errno(absl::StrCat("cannot write ", process.log_file));
  }
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) Exec(process, prepared, null, out, parent);
  if (out >= 0) close(out);
  if (null >= 0) close(null);
  if (pid < 0) return Errno("cannot start a process");
  return pid;
}

}  // namespace backflip::cli
