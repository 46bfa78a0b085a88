#include "cli/launcher/paths.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/launcher/subprocess.h"
#include "common/base/hash.h"

namespace backflip::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kTaskFile[] = "task.textproto";

fs::path ProgramFolder() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).parent_path();
}

// In a checkout (build/release/bin/…) and where installed (bin/…).
std::vector<fs::path> TaskFolders() {
  const fs::path programs = ProgramFolder();
  return {programs / "../../../tasks", programs / "../share/backflip/tasks"};
}

std::string SocketFolderName(const std::string& data) {
  std::error_code error;
  const fs::path whole = fs::weakly_canonical(fs::absolute(data), error);
  return absl::StrCat("/tmp/backflip-", base::Sha256Hex(whole.string()).substr(0, 12));
}

}  // namespace

std::string ProgramPath(const std::string& name) { return (ProgramFolder() / name).string(); }

std::string DefaultDataFolder() {
  if (geteuid() == 0) return "/var/lib/backflip";
  const char* home = std::getenv("HOME");
  if (home == nullptr) {
    const passwd* user = getpwuid(geteuid());
    home = user == nullptr ? "/tmp" : user->pw_dir;
  }
  return absl::StrCat(home, "/.local/share/backflip");
}

std::vector<std::string> ShippedTasks() {
  std::error_code error;
  std::set<std::string> names;
  for (const fs::path& folder : TaskFolders()) {
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      if (fs::exists(entry.path() / kTaskFile, error)) {
        names.insert(entry.path().filename().string());
      }
    }
  }
  return {names.begin(), names.end()};
}

absl::StatusOr<std::string> FindTask(const std::string& task) {
  std::error_code error;
  const fs::path path(task);
  if (fs::exists(path / kTaskFile, error)) {
    return fs::canonical(path, error).string();
  }
  if (path.filename() == kTaskFile && fs::exists(path, error)) {
    return fs::canonical(path, error).parent_path().string();
  }
  for (const fs::path& folder : TaskFolders()) {
    if (!absl::StrContains(task, '/') && fs::exists(folder / path / kTaskFile, error)) {
      return fs::canonical(folder / path, error).string();
    }
  }
  return absl::NotFoundError(absl::StrCat("there is no task '", task,
                                          "': neither a folder of that name with a ", kTaskFile,
                                          " in it, nor one of the tasks that come with Backflip (",
                                          absl::StrJoin(ShippedTasks(), ", "), ")"));
}

absl::StatusOr<std::string> SocketFolder(const std::string& data) {
  const std::string folder = SocketFolderName(data);
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot make ", folder, ": ", std::strerror(errno)));
  }
  struct stat info;
  const bool found = lstat(folder.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  // services listen there
  const User owner = ServiceUser().value_or(User{geteuid(), getegid()});
  if (found && info.st_uid == geteuid() && owner.uid != geteuid() &&
      lchown(folder.c_str(), owner.uid, owner.gid) == 0) {
    info.st_uid = owner.uid;
  }
  if (!found || info.st_uid != owner.uid || (info.st_mode & 0077) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(folder,
                     ", the folder of the services' sockets, belongs to somebody else or is open "
                     "to others. Remove it, and try again."));
  }
  return folder;
}

std::string PagesUrlFile(const std::string& data) { return data + "/pages.url"; }

std::string BrokerAddress(const std::string& data) {
  return absl::StrCat("unix:", SocketFolderName(data), "/broker.sock");
}

}  // namespace backflip::cli
