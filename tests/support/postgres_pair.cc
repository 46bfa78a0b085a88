#include "tests/support/postgres_pair.h"

#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"

namespace backflip::testing {
namespace {

namespace fs = std::filesystem;

constexpr int kPort = 5432;  // of the first; they share a folder of sockets

std::string NewestBinaries() {
  int newest = 0;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql")) {
    int version = 0;
    if (absl::SimpleAtoi(entry.path().filename().string(), &version)) {
      newest = std::max(newest, version);
    }
  }
  return absl::StrCat("/usr/lib/postgresql/", newest, "/bin/");
}

}  // namespace

std::string PostgresPair::Data(int server) const { return absl::StrCat(folder_, "/", server); }

absl::StatusOr<std::string> PostgresPair::Tool(std::vector<std::string> argv) const {
  argv[0] = binaries_ + argv[0];
  return cli::Run({.argv = std::move(argv), .user = user_});
}

std::string PostgresPair::url() const {
  return absl::StrCat("postgresql:///backflip?host=", folder_, ",", folder_, "&port=", kPort, ",",
                      kPort + 1, "&user=", user_name_, "&target_session_attrs=read-write");
}

absl::StatusOr<std::unique_ptr<PostgresPair>> PostgresPair::Start() {
  std::unique_ptr<PostgresPair> pair(new PostgresPair());
  pair->binaries_ = NewestBinaries();
  const passwd* user = geteuid() == 0 ? getpwnam("postgres") : getpwuid(geteuid());
  if (user == nullptr) return absl::FailedPreconditionError("there is no user postgres");
  pair->user_name_ = user->pw_name;
  if (geteuid() == 0) pair->user_ = cli::User{user->pw_uid, user->pw_gid};
  char folder[] = "/tmp/backflip-pair-XXXXXX";
  if (mkdtemp(folder) == nullptr || chown(folder, user->pw_uid, user->pw_gid) != 0) {
    return absl::InternalError("cannot make a folder in /tmp");
  }
  pair->folder_ = folder;
  RETURN_IF_ERROR(pair->Tool({"initdb", "-D", pair->Data(0), "--auth=trust", "--encoding=UTF8",
                              "--locale=C", "--no-sync"})
                      .status());
  std::ofstream(pair->Data(0) + "/postgresql.conf", std::ios::app)
      << "listen_addresses = ''\nunix_socket_directories = '" << folder
      << "'\nfsync = off\nshared_buffers = '16MB'\nmax_connections = 40\n";
  RETURN_IF_ERROR(pair->StartServer(0));
  const std::string port = absl::StrCat(kPort);
  RETURN_IF_ERROR(pair->Tool({"createdb", "-h", folder, "-p", port, "backflip"}).status());
  // --write-recovery-conf makes it a standby of where it is copied from
  RETURN_IF_ERROR(pair->Tool({"pg_basebackup", "-h", folder, "-p", port, "-D", pair->Data(1),
                              "--write-recovery-conf", "--checkpoint=fast", "--no-sync"})
                      .status());
  RETURN_IF_ERROR(pair->StartServer(1));
  for (const char* sql :
       {"ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"}) {
    RETURN_IF_ERROR(
        pair->Tool({"psql", "-Xqc", sql, "-h", folder, "-p", port, "backflip"}).status());
  }
  return pair;
}

PostgresPair::~PostgresPair() {
  KillServer(0);
  KillServer(1);
  std::error_code ignored;
  if (!folder_.empty()) fs::remove_all(folder_, ignored);
}

absl::Status PostgresPair::StartServer(int server) {
  const std::string port = absl::StrCat(kPort + server), log = Data(server) + "/server.log";
  ASSIGN_OR_RETURN(pids_[server],
                   cli::Spawn({.argv = {binaries_ + "postgres", "-D", Data(server), "-p", port},
                               .user = user_,
                               .log_file = log,
                               .dies_with_parent = true}));
  const absl::Time give_up = absl::Now() + absl::Minutes(1);
  while (!Tool({"pg_isready", "-q", "-h", folder_, "-p", port}).ok()) {
    if (absl::Now() > give_up) {
      std::stringstream text;
      text << std::ifstream(log).rdbuf();
      return absl::InternalError("PostgreSQL does not start:\n" + text.str());
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
  return absl::OkStatus();
}

void PostgresPair::KillServer(int server) {
  const pid_t pid = pids_[server];
  pids_[server] = 0;
  if (pid == 0) return;
  const auto children = cli::Run({.argv = {"ps", "-o", "pid=", "--ppid", absl::StrCat(pid)}});
  kill(pid, SIGKILL);
  for (const auto child : absl::StrSplit(children.value_or(""), '\n', absl::SkipWhitespace())) {
    pid_t child_pid = 0;
    if (absl::SimpleAtoi(child, &child_pid)) kill(child_pid, SIGKILL);
  }
  waitpid(pid, nullptr, 0);
}

void PostgresPair::KillPrimary() { KillServer(0); }

absl::Status PostgresPair::Promote() {
  // it would wait for a standby of its own
  std::ofstream(Data(1) + "/postgresql.auto.conf", std::ios::app)
      << "synchronous_standby_names = ''\n";
  return Tool({"pg_ctl", "promote", "-w", "-D", Data(1)}).status();
}

}  // namespace backflip::testing
