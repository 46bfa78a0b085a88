#include "cli/launcher/private_postgres.h"

#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/launcher/subprocess.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"

namespace backflip::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kVersions[] = "/usr/lib/postgresql";
constexpr int kOldestVersion = 15;
constexpr char kDatabase[] = "backflip";
constexpr char kServerUser[] = "postgres";

std::string ErrnoText() { return std::strerror(errno); }

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Major versions whose server programs are installed, oldest first.
std::vector<int> InstalledVersions() {
  std::vector<int> versions;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(kVersions, error)) {
    int version = 0;
    if (absl::SimpleAtoi(entry.path().filename().string(), &version) &&
        access((entry.path() / "bin/postgres").c_str(), X_OK) == 0) {
      versions.push_back(version);
    }
  }
  std::sort(versions.begin(), versions.end());
  return versions;
}

std::string BinariesOf(int version) { return absl::StrCat(kVersions, "/", version, "/bin"); }

// A path to a socket has at most 107 bytes, and a data folder's may be longer. The name depends on
// the folder alone, so that the address survives a restart.
std::string SocketFolderOf(const std::string& folder) {
  return absl::StrCat("/tmp/backflip-pg-", base::Sha256Hex(folder).substr(0, 12));
}

absl::Status NotInstalled() {
  return absl::FailedPreconditionError(absl::StrCat(
      "PostgreSQL ", kOldestVersion, " or newer is not installed (there is no ", kVersions,
      "/*/bin/postgres). Install the package `postgresql`, or give a database of your own with "
      "--database-url URL."));
}

// The lines of a running server's postmaster.pid.
constexpr int kPidLine = 0;
constexpr int kSocketLine = 4;
constexpr int kStatusLine = 7;

std::vector<std::string> PidFileOf(const std::string& data) {
  std::vector<std::string> lines = absl::StrSplit(ReadFile(data + "/postmaster.pid"), '\n');
  lines.resize(std::max<size_t>(lines.size(), kStatusLine + 1));
  return lines;
}

// Whether `pid` is a running server, neither a zombie nor another program that was given the
// number.
bool Serves(pid_t pid) {
  const std::string stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  return absl::StrContains(stat, "(postgres) ") && !absl::StrContains(stat, "(postgres) Z");
}

}  // namespace

absl::StatusOr<std::unique_ptr<PrivatePostgres>> PrivatePostgres::Start(const std::string& folder) {
  std::unique_ptr<PrivatePostgres> postgres(new PrivatePostgres());
  postgres->folder_ = folder;
  RETURN_IF_ERROR(postgres->Prepare());
  RETURN_IF_ERROR(postgres->StartServer());
  return postgres;
}

absl::StatusOr<std::string> PrivatePostgres::UrlOf(const std::string& folder) {
  PrivatePostgres postgres;
  std::error_code error;
  postgres.socket_folder_ = SocketFolderOf(fs::weakly_canonical(folder, error).string());
  RETURN_IF_ERROR(postgres.ChooseUser());
  return postgres.url_;
}

absl::StatusOr<int> PrivatePostgres::InstalledVersion() {
  const std::vector<int> installed = InstalledVersions();
  if (installed.empty() || installed.back() < kOldestVersion) return NotInstalled();
  return installed.back();
}

absl::StatusOr<std::unique_ptr<PrivatePostgres>> PrivatePostgres::StartTemporary() {
  char folder[] = "/tmp/backflip-test-XXXXXX";
  if (mkdtemp(folder) == nullptr) {
    return absl::InternalError(absl::StrCat("cannot make a folder in /tmp: ", ErrnoText()));
  }
  // the server's user enters it too
  chmod(folder, 0755);
  std::unique_ptr<PrivatePostgres> postgres(new PrivatePostgres());
  postgres->folder_ = folder;
  postgres->temporary_ = true;
  RETURN_IF_ERROR(postgres->Prepare());
  RETURN_IF_ERROR(postgres->StartServer());
  return postgres;
}

PrivatePostgres::~PrivatePostgres() {
  if (absl::Status status = Stop(); !status.ok()) {
    base::LogError("cannot stop PostgreSQL", {{"error", status.message()}, {"data", data_}});
  }
  if (lock_fd_ >= 0) close(lock_fd_);
  std::error_code ignored;
  if (temporary_) fs::remove_all(folder_, ignored);
}

absl::Status PrivatePostgres::Prepare() {
  RETURN_IF_ERROR(HoldFolder());
  RETURN_IF_ERROR(ChooseUser());
  RETURN_IF_ERROR(ChooseVersion());
  if (absl::StatusOr<std::string> entered =
          Run({.argv = {"test", "-x", folder_}, .user = User{uid_, gid_}});
      !entered.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "PostgreSQL cannot run as root, and the user ", kServerUser,
        ", as whom it runs instead, cannot enter the data folder ", folder_,
        ". Choose one that every user can enter with --data, such as /var/lib/backflip."));
  }
  std::error_code error;
  if (!fs::exists(data_ + "/PG_VERSION", error)) RETURN_IF_ERROR(MakeData());
  return absl::OkStatus();
}

absl::Status PrivatePostgres::HoldFolder() {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) {
    return absl::FailedPreconditionError(absl::StrCat("cannot make the data folder ", folder_, ": ",
                                                      error.message(),
                                                      ". Choose another with --data."));
  }
  folder_ = fs::canonical(folder_, error).string();
  data_ = folder_ + "/postgres";
  socket_folder_ = SocketFolderOf(folder_);

  // one process at a time; the kernel lets go when it ends, however it ends
  const std::string lock = folder_ + "/postgres.lock";
  lock_fd_ = open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_fd_ < 0) {
    return absl::FailedPreconditionError(absl::StrCat("cannot write into the data folder ", folder_,
                                                      ": ", ErrnoText(),
                                                      ". Choose another with --data."));
  }
  if (flock(lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("another backflip runs in the data folder ", folder_,
                     ". End it first, or choose another folder with --data."));
  }
  return absl::OkStatus();
}

absl::Status PrivatePostgres::ChooseUser() {
  uid_ = geteuid();
  const passwd* user = uid_ == 0 ? getpwnam(kServerUser) : getpwuid(uid_);
  if (user == nullptr && uid_ == 0) return NotInstalled();  // the package makes the user
  if (user == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("the user with number ", uid_,
                     " has no name in /etc/passwd, and PostgreSQL needs one. Give a database of "
                     "your own with --database-url URL."));
  }
  gid_ = uid_ == 0 ? user->pw_gid : getegid();
  uid_ = user->pw_uid;
  url_ =
      absl::StrCat("postgresql:///", kDatabase, "?host=", socket_folder_, "&user=", user->pw_name);
  return absl::OkStatus();
}

absl::Status PrivatePostgres::ChooseVersion() {
  ASSIGN_OR_RETURN(int version, InstalledVersion());
  const std::vector<int> installed = InstalledVersions();
  const std::string version_file = data_ + "/PG_VERSION";
  std::error_code error;
  if (fs::exists(version_file, error)) {
    if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(ReadFile(version_file)), &version)) {
      return absl::DataLossError(
          absl::StrCat(version_file, " holds no version: these are no data of PostgreSQL. Move ",
                       data_, " away to start afresh."));
    }
    if (std::find(installed.begin(), installed.end(), version) == installed.end()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the runs in ", data_, " were written by PostgreSQL ", version, ", but only ",
          installed.back(), " is installed. Install the package postgresql-", version,
          " beside it to go on with them, or convert them with pg_upgrade, or move ", data_,
          " away to start afresh."));
    }
  }
  binaries_ = BinariesOf(version);
  return absl::OkStatus();
}

absl::Status PrivatePostgres::MakeData() {
  // made under another name, so that data are whole or not there
  const std::string half_made = folder_ + "/postgres.new";
  std::error_code error;
  fs::remove_all(half_made, error);
  if (mkdir(half_made.c_str(), 0700) != 0 ||
      (geteuid() == 0 && chown(half_made.c_str(), uid_, gid_) != 0)) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot make ", half_made, ": ", ErrnoText()));
  }
  // Every process that can reach the socket may connect, but only the server's user can enter its
  // folder.
  absl::Status made = RunTool("initdb", {"-D", half_made, "--auth=trust", "--encoding=UTF8",
                                         "--locale=C", "--no-instructions", "--no-sync"})
                          .status();
  if (made.ok()) {
    made = RunTool("postgres", {"--single", "-F", "-D", half_made, "postgres"},
                   absl::StrCat("CREATE DATABASE ", kDatabase, "\n"))
               .status();
  }
  if (made.ok() && !temporary_) {
    made = RunTool("initdb", {"-D", half_made, "--sync-only"}).status();
  }
  if (made.ok() && rename(half_made.c_str(), data_.c_str()) != 0) {
    made = absl::InternalError(absl::StrCat("cannot rename ", half_made, ": ", ErrnoText()));
  }
  if (!made.ok()) fs::remove_all(half_made, error);
  return made;
}

absl::Status PrivatePostgres::StartServer() {
  if (mkdir(socket_folder_.c_str(), 0700) == 0) {
    if (geteuid() == 0 && chown(socket_folder_.c_str(), uid_, gid_) != 0) {
      return absl::InternalError(
          absl::StrCat("cannot give ", socket_folder_, " away: ", ErrnoText()));
    }
  }
  struct stat info;
  const std::optional<User> services = ServiceUser();
  if (lstat(socket_folder_.c_str(), &info) != 0 || !S_ISDIR(info.st_mode) || info.st_uid != uid_ ||
      (info.st_mode & (services.has_value() ? 0067 : 0077)) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(socket_folder_,
                     ", the folder of PostgreSQL's socket, belongs to somebody else or is open to "
                     "others. Remove it, and try again."));
  }
  // the broker enters it too
  if (services.has_value() && (chown(socket_folder_.c_str(), uid_, services->gid) != 0 ||
                               chmod(socket_folder_.c_str(), 0710) != 0)) {
    return absl::InternalError(absl::StrCat("cannot open ", socket_folder_, ": ", ErrnoText()));
  }

  const std::vector<std::string> left = PidFileOf(data_);
  if (pid_t pid = 0; absl::SimpleAtoi(left[kPidLine], &pid) && Serves(pid)) {
    pid_ = pid;
    if (left[kSocketLine] == socket_folder_ &&
        absl::StripAsciiWhitespace(left[kStatusLine]) == "ready" &&
        access((socket_folder_ + "/.s.PGSQL.5432").c_str(), F_OK) == 0) {
      base::LogInfo("adopted the PostgreSQL server that was left running",
                    {{"data", data_}, {"pid", pid_}});
      return absl::OkStatus();
    }
    // half started, or out of reach
    RETURN_IF_ERROR(EndServer());
  }
  // the shared memory of a killed server stays in use for a moment
  constexpr int kTries = 5;
  for (int i = 1;; ++i) {
    absl::Status status = TryStartServer();
    if (status.ok() || i == kTries) return status;
    absl::SleepFor(absl::Seconds(1));
  }
}

absl::Status PrivatePostgres::TryStartServer() {
  const std::string log = data_ + "/server.log";
  Process process = {.argv = {absl::StrCat(binaries_, "/postgres"), "-D", data_},
                     .user = User{uid_, gid_},
                     .log_file = log,
                     .dies_with_parent = temporary_};
  for (const std::string& setting : {
           std::string("listen_addresses="),
           absl::StrCat("unix_socket_directories=", socket_folder_),
           std::string("port=5432"),
           // an acknowledged label is on disk
           absl::StrCat("fsync=", temporary_ ? "off" : "on"),
           absl::StrCat("synchronous_commit=", temporary_ ? "off" : "on"),
           // little memory and few processes: learning needs them
           std::string("shared_buffers=32MB"),
           std::string("maintenance_work_mem=16MB"),
           std::string("max_connections=60"),
           std::string("max_parallel_workers=0"),
           std::string("max_parallel_maintenance_workers=0"),
           std::string("max_worker_processes=1"),
           std::string("autovacuum_max_workers=1"),
           std::string("jit=off"),
           std::string("huge_pages=off"),
           // no replicas, so no log for them
           std::string("wal_level=minimal"),
           std::string("max_wal_senders=0"),
           std::string("max_wal_size=512MB"),
           std::string("logging_collector=off"),
           std::string("log_checkpoints=off"),
       }) {
    process.argv.push_back("-c");
    process.argv.push_back(setting);
  }
  ASSIGN_OR_RETURN(const pid_t pid, Spawn(process));
  const absl::Time give_up = absl::Now() + absl::Minutes(2);
  while (waitpid(pid, nullptr, WNOHANG) == 0) {
    const std::vector<std::string> lines = PidFileOf(data_);
    if (lines[kPidLine] == absl::StrCat(pid) &&
        absl::StripAsciiWhitespace(lines[kStatusLine]) == "ready") {
      pid_ = pid;
      return absl::OkStatus();
    }
    if (absl::Now() > give_up) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
      break;
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
  std::string text = ReadFile(log);
  if (text.size() > 1000) text = text.substr(text.size() - 1000);
  return absl::InternalError(
      absl::StrCat("PostgreSQL did not start. The end of its log, ", log, ":\n", text));
}

absl::Status PrivatePostgres::EndServer() {
  // "fast": sessions are ended, what they did not commit is rolled back
  if (Serves(pid_)) kill(pid_, SIGINT);
  const absl::Time give_up = absl::Now() + absl::Minutes(1);
  while (Serves(pid_)) {
    if (absl::Now() > give_up) {
      return absl::DeadlineExceededError(
          absl::StrCat("PostgreSQL, process ", pid_, ", does not end; see ", data_, "/server.log"));
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
  // reaps it; an adopted server is no child of ours
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
  return absl::OkStatus();
}

bool PrivatePostgres::Running() const { return pid_ != 0 && Serves(pid_); }

absl::Status PrivatePostgres::Stop() {
  if (pid_ == 0) return absl::OkStatus();
  RETURN_IF_ERROR(EndServer());
  std::error_code ignored;
  fs::remove_all(socket_folder_, ignored);
  return absl::OkStatus();
}

absl::Status PrivatePostgres::Restart() {
  RETURN_IF_ERROR(Stop());
  return StartServer();
}

absl::StatusOr<std::string> PrivatePostgres::RunTool(const std::string& tool,
                                                     std::vector<std::string> arguments,
                                                     const std::string& input) const {
  arguments.insert(arguments.begin(), absl::StrCat(binaries_, "/", tool));
  return Run({.argv = std::move(arguments), .user = User{uid_, gid_}, .input = input});
}

}  // namespace backflip::cli
