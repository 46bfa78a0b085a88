// backflip task new, task list.
#include "common/sim/task.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
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

// MuJoCo cannot be interrupted while it compiles a model: the work is done beside, and left.
absl::StatusOr<MadeTask> MakeUnlessStopped(const Call& call, const std::string& folder) {
  std::optional<absl::StatusOr<MadeTask>> made;
  std::atomic<bool> done = false;
  std::thread work([&] {
    made = MakeTask(call.Word(0), folder,
                    [](absl::string_view what) { absl::FPrintF(stderr, "%s …\n", what); });
    done = true;
    call.shutdown->Request();
  });
  call.shutdown->Wait();
  if (!done) {
    std::error_code ignored;
    fs::remove_all(sim::DraftOf(folder), ignored);
    absl::FPrintF(stderr, "backflip: stopped\n");
    std::_Exit(130);
  }
  work.join();
  return *std::move(made);
}

absl::Status New(const Call& call) {
  const std::string folder = call.Word(1).empty() ? FolderFor(call.Word(0)) : call.Word(1);
  ASSIGN_OR_RETURN(const MadeTask made, MakeUnlessStopped(call, folder));
  if (!made.preview.ok() && !absl::IsUnavailable(made.preview)) return made.preview;
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
      absl::StartsWith(folder, "/") ? folder : absl::StrCat("./", folder));
  return absl::OkStatus();
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
