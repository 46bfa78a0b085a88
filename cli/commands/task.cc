// backflip task new, task list.
#include "common/sim/task.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "cli/command.h"
#include "cli/launcher/paths.h"
#include "cli/output/replay.h"
#include "common/base/status_macros.h"
#include "common/sim/mujoco/scaffold.h"

namespace backflip::cli {
namespace {

namespace fs = std::filesystem;

// A folder here, named like the model; like the model's folder, where the model is a `scene`, as
// in many collections.
std::string FolderFor(const std::string& model) {
  const fs::path path = fs::absolute(model).lexically_normal();
  const std::string stem = path.stem().string();
  const std::string parent = path.parent_path().filename().string();
  return absl::StartsWith(stem, "scene") && !parent.empty() ? parent : stem;
}

// As a shell takes it for one word.
std::string ShellWord(const std::string& word) {
  const bool plain = std::all_of(word.begin(), word.end(), [](char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("_./-+=:,@%", c);
  });
  return plain ? word : absl::StrCat("'", absl::StrReplaceAll(word, {{"'", "'\\''"}}), "'");
}

absl::Status Make(const std::string& model, const std::string& folder, sim::Draft& draft) {
  ASSIGN_OR_RETURN(const MadeTask made, MakeTask(model, folder, draft, [](absl::string_view what) {
                     absl::FPrintF(stderr, "%s …\n", what);
                   }));
  absl::PrintF(
      "wrote %s/task.textproto, which says what to change in it\n"
      "      %s/preview.gif: %s\n",
      folder, folder,
      made.preview.ok() ? "the model under random actions" : made.preview.message());
  for (const std::string& remark : made.remarks) absl::PrintF("note: %s.\n", remark);
  absl::PrintF(
      "Put your question into the task, then let people answer:\n"
      "  ./backflip train --task %s --human\n"
      "or give it a true_reward, by which simulated teachers answer (docs/tasks.md).\n",
      ShellWord(absl::StartsWith(folder, "/") ? folder : absl::StrCat("./", folder)));
  return absl::OkStatus();
}

// Make, in the child that `New` has forked.
[[noreturn]] void MakeAndEnd(const std::string& model, const std::string& folder, sim::Draft& draft,
                             pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) std::_Exit(EXIT_FAILURE);  // it went before the line above
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  const absl::Status made = Make(model, folder, draft);
  if (!made.ok()) absl::FPrintF(stderr, "backflip: %s\n", made.message());
  std::fflush(nullptr);
  std::_Exit(made.ok() ? EXIT_SUCCESS : EXIT_FAILURE);
}

// The model may be a stranger's, and MuJoCo cannot be interrupted while it compiles one: that
// happens in a process of its own, which may die of it or be ended.
absl::Status New(const Call& call) {
  const std::string folder = call.Word(1).empty() ? FolderFor(call.Word(0)) : call.Word(1);
  // removed here, whatever becomes of the child
  ASSIGN_OR_RETURN(std::unique_ptr<sim::Draft> draft, sim::Draft::Beside(folder));
  std::fflush(nullptr);
  const pid_t parent = getpid(), child = fork();
  if (child == 0) MakeAndEnd(call.Word(0), folder, *draft, parent);
  if (child < 0) return absl::ErrnoToStatus(errno, "cannot start a process");
  int how = 0;
  std::atomic<bool> ended = false;
  std::thread waiter([&] {
    while (waitpid(child, &how, 0) < 0 && errno == EINTR) {
    }
    ended = true;
    call.shutdown->Request();
  });
  call.shutdown->Wait();
  const bool stopped = !ended;
  if (stopped) kill(child, SIGKILL);
  waiter.join();
  draft.reset();
  if (WIFEXITED(how) && WEXITSTATUS(how) == EXIT_SUCCESS) return absl::OkStatus();
  if (WIFEXITED(how)) std::_Exit(WEXITSTATUS(how));  // it has said why
  if (stopped) return absl::CancelledError("stopped");
  return absl::InternalError(absl::StrCat(
      call.Word(0), ": the model ends the program that tries it (", strsignal(WTERMSIG(how)),
      "). Leave out parts of it until it loads, to find the one that does"));
}

absl::Status List(const Call&) {
  for (const std::string& name : ShippedTasks()) {
    ASSIGN_OR_RETURN(const std::string folder, FindTask(name));
    ASSIGN_OR_RETURN(const auto task, sim::Task::FromFolder(folder));
    absl::PrintF("%-24s %s\n", name, task->task().question());
  }
  return absl::OkStatus();
}

const Registered kRegistered{
    {Section::kSetUp,
     "task new ROBOT.xml [FOLDER]",
     "write a first task for a model (MJCF or URDF), and show it moving",
     New,
     {},
     "The task is a folder here, named like the model unless FOLDER is given; docs/tasks.md "
     "explains its file. `backflip task list` names the tasks that come with Backflip.",
     /*takes_stack=*/false},
    {Section::kSetUp,
     "task list",
     "name the tasks that come with Backflip, and what they ask",
     List,
     {},
     "",
     /*takes_stack=*/false},
};

}  // namespace
}  // namespace backflip::cli
